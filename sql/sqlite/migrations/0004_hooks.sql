-- What is remembered of a session between the events of its hooks.
create table hook_states (
    session_id text primary key not null references sessions (id) on delete cascade,
    state text not null,
    updated_at integer not null
) strict, without rowid;

-- How far a message has come on its way to an agent.
create table message_receipts (
    message_id text not null references agent_messages (id) on delete cascade,
    agent_id text not null,
    injected_at integer,
    times_injected integer not null default 0,
    seen_at integer,
    acknowledged_at integer,
    primary key (message_id, agent_id)
) strict, without rowid;
create index message_receipts_open on message_receipts (agent_id) where seen_at is null;
