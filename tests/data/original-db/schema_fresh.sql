-- A fresh install of the original service.

create table schema_version (
    version text primary key,
    applied_at timestamptz default now()
);

create table projects (
    id uuid primary key default gen_random_uuid(),
    path text not null unique,
    name text,
    created_at timestamptz default now(),
    updated_at timestamptz default now(),
    metadata jsonb default '{}'
);

create table requests (
    id uuid primary key default gen_random_uuid(),
    project_id uuid references projects (id) on delete cascade,
    session_id text not null,
    prompt text not null,
    prompt_type text,
    status text default 'active',
    created_at timestamptz default now(),
    completed_at timestamptz,
    metadata jsonb default '{}'
);

create table task_lists (
    id uuid primary key default gen_random_uuid(),
    request_id uuid references requests (id) on delete cascade,
    name text,
    wave_number integer default 0,
    status text default 'pending',
    created_at timestamptz default now(),
    completed_at timestamptz
);

create table subtasks (
    id uuid primary key default gen_random_uuid(),
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

create table actions (
    id uuid primary key default gen_random_uuid(),
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

create table keyword_tool_scores (
    id serial primary key,
    keyword text not null,
    tool_name text not null,
    tool_type text not null,
    score real default 1.0,
    usage_count integer default 1,
    success_count integer default 1,
    last_used timestamptz default now(),
    unique (keyword, tool_name)
);

create table agent_messages (
    id uuid primary key default gen_random_uuid(),
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

create table agent_contexts (
    id uuid primary key default gen_random_uuid(),
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

create table sessions (
    id text primary key,
    project_id uuid references projects (id),
    started_at timestamptz default now(),
    ended_at timestamptz,
    total_tools_used integer default 0,
    total_success integer default 0,
    total_errors integer default 0
);

create index idx_projects_metadata on projects using gin (metadata);
create index idx_requests_project on requests (project_id);
create index idx_requests_session on requests (session_id);
create index idx_requests_status on requests (status);
create index idx_requests_metadata on requests using gin (metadata);
create index idx_subtasks_status on subtasks (status);
create index idx_subtasks_agent on subtasks (agent_type, agent_id);
create index idx_subtasks_task_list on subtasks (task_list_id);
create index idx_actions_tool on actions (tool_name);
create index idx_actions_created on actions (created_at desc);
create index idx_actions_subtask on actions (subtask_id);
create index idx_actions_tool_type on actions (tool_type);
create index idx_actions_metadata on actions using gin (metadata);
create index idx_keyword_scores on keyword_tool_scores (keyword);
create index idx_keyword_tool on keyword_tool_scores (tool_name);
create index idx_messages_project on agent_messages (project_id);
create index idx_messages_to on agent_messages (to_agent_id);
create index idx_messages_topic on agent_messages (topic);
create index idx_messages_created on agent_messages (created_at desc);
create index idx_messages_payload on agent_messages using gin (payload);
create index idx_contexts_agent on agent_contexts (project_id, agent_type);
create index idx_contexts_agent_id on agent_contexts (agent_id);
create index idx_contexts_role on agent_contexts using gin (role_context);
create index idx_sessions_project on sessions (project_id);
create index idx_sessions_started on sessions (started_at desc);

-- One function for both triggers, though agent_contexts has no such column.
create function update_updated_at() returns trigger
language plpgsql
as $$
begin
    new.updated_at = now();
    return new;
end
$$;

create trigger update_projects_updated_at
    before update on projects
    for each row execute function update_updated_at();
create trigger update_contexts_updated_at
    before update on agent_contexts
    for each row execute function update_updated_at();

create view v_actions_full as
select
    a.id as action_id, a.tool_name, a.tool_type, a.exit_code, a.duration_ms, a.file_paths,
    a.created_at as action_created_at,
    s.id as subtask_id, s.agent_type, s.agent_id, s.description as subtask_description, s.status as subtask_status,
    t.id as task_list_id, t.name as task_list_name, t.wave_number,
    r.id as request_id, r.prompt, r.prompt_type, r.session_id,
    p.id as project_id, p.path as project_path, p.name as project_name
from actions a
left join subtasks s on s.id = a.subtask_id
left join task_lists t on t.id = s.task_list_id
left join requests r on r.id = t.request_id
left join projects p on p.id = r.project_id;

create view v_active_agents as
select
    p.id as project_id, p.name as project_name, s.agent_type, s.agent_id, s.status, s.description as current_task,
    s.started_at, count(a.id) as actions_count
from subtasks s
join task_lists t on t.id = s.task_list_id
join requests r on r.id = t.request_id
join projects p on p.id = r.project_id
left join actions a on a.subtask_id = s.id
where s.status in ('running', 'paused', 'blocked')
group by p.id, p.name, s.agent_type, s.agent_id, s.status, s.description, s.started_at;

create view v_unread_messages as
select m.*, p.name as project_name
from agent_messages m
join projects p on p.id = m.project_id
where m.expires_at is null or m.expires_at > now();

create view v_project_stats as
select
    p.id as project_id, p.name as project_name, p.path,
    count(distinct r.id) as total_requests,
    count(distinct s.id) as total_subtasks,
    count(distinct a.id) as total_actions,
    count(distinct a.id) filter (where a.exit_code = 0) as successful_actions,
    coalesce(avg(a.duration_ms), 0) as avg_duration_ms,
    max(a.created_at) as last_activity
from projects p
left join requests r on r.project_id = p.id
left join task_lists t on t.request_id = r.id
left join subtasks s on s.task_list_id = t.id
left join actions a on a.subtask_id = s.id
group by p.id, p.name, p.path;
