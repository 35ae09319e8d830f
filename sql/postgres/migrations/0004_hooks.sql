-- What is remembered of a session between the events of its hooks.
create table if not exists hook_states (
    session_id text primary key references sessions (id) on delete cascade,
    state jsonb not null,
    updated_at timestamptz not null
);

-- How far a message has come on its way to an agent.
create table if not exists message_receipts (
    message_id uuid not null references agent_messages (id) on delete cascade,
    agent_id text not null,
    injected_at timestamptz,
    times_injected integer not null default 0,
    seen_at timestamptz,
    acknowledged_at timestamptz,
    primary key (message_id, agent_id)
);
create index if not exists message_receipts_open on message_receipts (agent_id) where seen_at is null;
