-- What an install of the original service needs to work at all; after schema_fresh.sql.

alter table agent_messages add column priority integer default 0;

create table subscriptions (
    id uuid primary key default gen_random_uuid(),
    agent_id text not null,
    topic text not null,
    callback_url text,
    created_at timestamptz default now(),
    updated_at timestamptz default now(),
    unique (agent_id, topic)
);

create table blocked_agents (
    id uuid primary key default gen_random_uuid(),
    blocked_by text not null,
    blocked_agent text not null,
    reason text,
    created_at timestamptz default now(),
    unique (blocked_by, blocked_agent)
);
