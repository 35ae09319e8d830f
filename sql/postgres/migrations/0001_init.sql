-- A database of our own, or one that the original service created and filled, which is adopted in place: every
-- statement here leaves alone what is there already. What an adopted database holds is mended by 0002.

create table if not exists projects (
    id uuid primary key,
    path text not null unique,
    name text,
    created_at timestamptz default now(),
    updated_at timestamptz default now(),
    metadata jsonb default '{}'
);
create index if not exists projects_updated on projects (updated_at desc);

create table if not exists sessions (
    id text primary key,
    project_id uuid references projects (id) on delete set null,
    started_at timestamptz default now(),
    ended_at timestamptz,
    total_tools_used integer default 0,
    total_success integer default 0,
    total_errors integer default 0
);
alter table sessions add column if not exists created_automatically boolean not null default false;
alter table sessions add column if not exists last_seen_at timestamptz;
create index if not exists idx_sessions_project on sessions (project_id);
create index if not exists idx_sessions_started on sessions (started_at desc);
create index if not exists sessions_open on sessions (last_seen_at) where ended_at is null;

create table if not exists requests (
    id uuid primary key,
    project_id uuid references projects (id) on delete cascade,
    session_id text not null,
    prompt text not null,
    prompt_type text,
    status text default 'active',
    created_at timestamptz default now(),
    completed_at timestamptz,
    metadata jsonb default '{}'
);
alter table requests add column if not exists external_key text;
create index if not exists requests_project_created on requests (project_id, created_at desc);
create index if not exists requests_session_created on requests (session_id, created_at desc);
create index if not exists requests_created on requests (created_at desc);
create unique index if not exists requests_external on requests (session_id, external_key)
    where external_key is not null;

create table if not exists task_lists (
    id uuid primary key,
    request_id uuid references requests (id) on delete cascade,
    name text,
    wave_number integer default 0,
    status text default 'pending',
    created_at timestamptz default now(),
    completed_at timestamptz
);
create index if not exists task_lists_request on task_lists (request_id, wave_number, created_at);
create index if not exists task_lists_created on task_lists (created_at desc);

create table if not exists subtasks (
    id uuid primary key,
    task_list_id uuid references task_lists (id) on delete cascade,
    agent_type text,
    agent_id text,
    description text,
    status text default 'pending',
    blocked_by uuid[],
    created_at timestamptz default now(),
    started_at timestamptz,
    completed_at timestamptz,
    context_snapshot jsonb,
    result jsonb
);
alter table subtasks add column if not exists external_key text;
create index if not exists subtasks_task_created on subtasks (task_list_id, created_at);
create index if not exists subtasks_agent on subtasks (agent_id);
create index if not exists subtasks_agent_type on subtasks (agent_type);
create index if not exists subtasks_created on subtasks (created_at desc);
create index if not exists subtasks_open on subtasks (status) where status in ('running', 'paused', 'blocked');
create index if not exists subtasks_external on subtasks (external_key) where external_key is not null;

create table if not exists actions (
    id uuid primary key,
    subtask_id uuid references subtasks (id) on delete cascade,
    tool_name text not null,
    tool_type text not null,
    input bytea,
    output bytea,
    file_paths text[],
    exit_code integer default 0,
    duration_ms integer,
    created_at timestamptz default now(),
    metadata jsonb default '{}'
);
alter table actions add column if not exists session_id text;
alter table actions add column if not exists tool_use_id text;
alter table actions add column if not exists recorded_at timestamptz not null default now();
create index if not exists idx_actions_created on actions (created_at desc);
-- Only retention asks for it, and rows lie in its order: a few bytes for each megabyte.
create index if not exists actions_recorded on actions using brin (recorded_at);
create index if not exists idx_actions_subtask on actions (subtask_id);
create index if not exists actions_session on actions (session_id) where session_id is not null;
create unique index if not exists actions_external on actions (session_id, tool_use_id)
    where tool_use_id is not null;

create table if not exists keyword_tool_scores (
    id bigserial primary key,
    keyword text not null,
    tool_name text not null,
    tool_type text not null,
    score real default 1.0,
    usage_count integer default 1,
    success_count integer default 1,
    last_used timestamptz default now(),
    unique (keyword, tool_name)
);

create table if not exists agent_messages (
    id uuid primary key,
    project_id uuid references projects (id) on delete cascade,
    from_agent_id text,
    to_agent_id text,
    message_type text not null,
    topic text,
    payload jsonb not null,
    read_by text[] default '{}',
    created_at timestamptz default now(),
    expires_at timestamptz
);
alter table agent_messages add column if not exists priority integer default 0;
create index if not exists agent_messages_inbox on agent_messages (to_agent_id, priority desc, created_at);
create index if not exists agent_messages_from on agent_messages (from_agent_id);
create index if not exists idx_messages_created on agent_messages (created_at desc);
create index if not exists agent_messages_expires on agent_messages (expires_at) where expires_at is not null;

create table if not exists message_reads (
    message_id uuid not null references agent_messages (id) on delete cascade,
    agent_id text not null,
    read_at timestamptz not null default now(),
    primary key (message_id, agent_id)
);

create table if not exists agent_contexts (
    id uuid primary key,
    project_id uuid references projects (id) on delete cascade,
    agent_id text not null,
    agent_type text not null,
    role_context jsonb not null,
    skills_to_restore text[],
    tools_used text[],
    progress_summary text,
    last_updated timestamptz default now(),
    unique (project_id, agent_id)
);

create table if not exists subscriptions (
    id uuid primary key,
    agent_id text not null,
    topic text not null,
    callback_url text,
    created_at timestamptz default now(),
    updated_at timestamptz default now(),
    unique (agent_id, topic)
);

create table if not exists blocked_agents (
    id uuid primary key,
    blocked_by text not null,
    blocked_agent text not null,
    reason text,
    created_at timestamptz default now(),
    unique (blocked_by, blocked_agent)
);
create index if not exists blocked_agents_blocked on blocked_agents (blocked_agent);

create table if not exists compactions (
    id uuid primary key,
    session_id text not null,
    external_key text not null,
    compaction_trigger text,
    summary text,
    metadata jsonb not null default '{}',
    created_at timestamptz not null,
    unique (session_id, external_key)
);

-- The log: every event has one position; position order is delivery order.
create table if not exists events (
    seq bigint primary key,
    id uuid not null,
    name text not null,
    created_at timestamptz not null,
    channels text[] not null,
    data json not null,
    summary json not null
);
create index if not exists events_created on events using brin (created_at);

-- One row: the last position that was given out, the first that is still kept, the epoch of both, and the timeline of
-- the write-ahead log in which it was last written (a promoted standby writes in another).
create table if not exists event_log_head (
    only_row integer primary key check (only_row = 1),
    seq bigint not null,
    first_seq bigint not null,
    epoch bigint not null,
    timeline text not null
) with (fillfactor = 10);
insert into event_log_head (only_row, seq, first_seq, epoch, timeline)
values (1, 0, 1, 1, substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))
on conflict do nothing;

create table if not exists idempotency_keys (
    idempotency_key text primary key,
    fingerprint text not null,
    outcome text not null,
    created_at timestamptz not null
);
create index if not exists idempotency_keys_created on idempotency_keys (created_at);

create table if not exists leases (
    name text primary key,
    holder text not null,
    expires_at timestamptz not null
);

create table if not exists settings (
    name text primary key,
    value text not null
);
