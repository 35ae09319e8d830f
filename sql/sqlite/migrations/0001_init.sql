-- The embedded store. Ids are text, times are microseconds since 1970 (UTC), JSON and lists are JSON text.
-- Tables have the names that PostgreSQL databases of older systems have.

create table projects (
    id text primary key not null,
    path text not null unique,
    name text,
    created_at integer not null,
    updated_at integer not null,
    metadata text not null default '{}'
) strict;
create index projects_updated on projects (updated_at desc);

create table sessions (
    id text primary key not null,
    project_id text references projects (id) on delete set null,
    started_at integer not null,
    ended_at integer,
    total_tools_used integer not null default 0,
    total_success integer not null default 0,
    total_errors integer not null default 0,
    created_automatically integer not null default 0,
    last_seen_at integer
) strict;
create index sessions_project on sessions (project_id);
create index sessions_started on sessions (started_at desc);
create index sessions_open on sessions (last_seen_at) where ended_at is null;

create table requests (
    id text primary key not null,
    project_id text references projects (id) on delete cascade,
    session_id text not null,
    prompt text not null,
    prompt_type text,
    status text not null default 'active',
    created_at integer not null,
    completed_at integer,
    metadata text not null default '{}',
    external_key text
) strict;
create index requests_project on requests (project_id, created_at desc);
create index requests_session on requests (session_id, created_at desc);
create index requests_created on requests (created_at desc);
create unique index requests_external on requests (session_id, external_key) where external_key is not null;

create table task_lists (
    id text primary key not null,
    request_id text not null references requests (id) on delete cascade,
    name text,
    wave_number integer not null default 0,
    status text not null default 'pending',
    created_at integer not null,
    completed_at integer
) strict;
create index task_lists_request on task_lists (request_id, wave_number, created_at);
create index task_lists_created on task_lists (created_at desc);

create table subtasks (
    id text primary key not null,
    task_list_id text not null references task_lists (id) on delete cascade,
    agent_type text,
    agent_id text,
    description text,
    status text not null default 'pending',
    blocked_by text,
    created_at integer not null,
    started_at integer,
    completed_at integer,
    context_snapshot text,
    result text,
    external_key text
) strict;
create index subtasks_task on subtasks (task_list_id, created_at);
create index subtasks_agent on subtasks (agent_id);
create index subtasks_agent_type on subtasks (agent_type);
create index subtasks_created on subtasks (created_at desc);
create index subtasks_open on subtasks (status) where status in ('running', 'paused', 'blocked');
create index subtasks_external on subtasks (external_key) where external_key is not null;

create table actions (
    id text primary key not null,
    subtask_id text references subtasks (id) on delete cascade,
    session_id text,
    tool_use_id text,
    tool_name text not null,
    tool_type text not null,
    input blob,
    output blob,
    file_paths text,
    exit_code integer not null default 0,
    duration_ms integer,
    created_at integer not null,
    recorded_at integer not null,
    metadata text not null default '{}'
) strict;
create index actions_created on actions (created_at desc);
create index actions_recorded on actions (recorded_at);
create index actions_subtask on actions (subtask_id) where subtask_id is not null;
create index actions_session on actions (session_id) where session_id is not null;
create unique index actions_external on actions (session_id, tool_use_id) where tool_use_id is not null;

create table keyword_tool_scores (
    keyword text not null,
    tool_name text not null,
    tool_type text not null,
    score real not null default 1.0,
    usage_count integer not null default 1,
    success_count integer not null default 1,
    last_used integer not null,
    primary key (keyword, tool_name)
) strict, without rowid;

create table agent_messages (
    id text primary key not null,
    project_id text references projects (id) on delete cascade,
    from_agent_id text,
    to_agent_id text,
    message_type text not null,
    topic text,
    payload text not null,
    priority integer not null default 0,
    created_at integer not null,
    expires_at integer
) strict;
create index agent_messages_to on agent_messages (to_agent_id, priority desc, created_at);
create index agent_messages_from on agent_messages (from_agent_id);
create index agent_messages_created on agent_messages (created_at desc);
create index agent_messages_expires on agent_messages (expires_at) where expires_at is not null;

create table message_reads (
    message_id text not null references agent_messages (id) on delete cascade,
    agent_id text not null,
    read_at integer not null,
    primary key (message_id, agent_id)
) strict, without rowid;

create table agent_contexts (
    id text primary key not null,
    project_id text references projects (id) on delete cascade,
    agent_id text not null,
    agent_type text not null,
    role_context text not null default '{}',
    skills_to_restore text,
    tools_used text,
    progress_summary text,
    last_updated integer not null,
    unique (project_id, agent_id)
) strict;

create table subscriptions (
    id text primary key not null,
    agent_id text not null,
    topic text not null,
    callback_url text,
    created_at integer not null,
    updated_at integer not null,
    unique (agent_id, topic)
) strict;

create table blocked_agents (
    id text primary key not null,
    blocked_by text not null,
    blocked_agent text not null,
    reason text,
    created_at integer not null,
    unique (blocked_by, blocked_agent)
) strict;
create index blocked_agents_blocked on blocked_agents (blocked_agent);

create table compactions (
    id text primary key not null,
    session_id text not null,
    external_key text not null,
    compaction_trigger text,
    summary text,
    metadata text not null default '{}',
    created_at integer not null,
    unique (session_id, external_key)
) strict;

-- The log: every event has one position; position order is delivery order.
create table events (
    seq integer primary key not null,
    id text not null,
    name text not null,
    created_at integer not null,
    channels text not null,
    data text not null,
    summary text not null
) strict;
create index events_created on events (created_at);

-- One row: the last position that was given out, the first that is still kept, and the epoch of both.
create table event_log_head (
    only_row integer primary key not null check (only_row = 1),
    seq integer not null,
    first_seq integer not null,
    epoch integer not null
) strict;
insert into event_log_head (only_row, seq, first_seq, epoch) values (1, 0, 1, 1);

create table idempotency_keys (
    idempotency_key text primary key not null,
    fingerprint text not null,
    outcome text not null,
    created_at integer not null
) strict, without rowid;
create index idempotency_keys_created on idempotency_keys (created_at);

create table leases (
    name text primary key not null,
    holder text not null,
    expires_at integer not null
) strict, without rowid;

create table settings (
    name text primary key not null,
    value text not null
) strict, without rowid;
