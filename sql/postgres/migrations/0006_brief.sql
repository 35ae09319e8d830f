-- What briefs read, so that a brief costs the same in a long session as in a short one.

-- A subtask knows its session: else every brief would walk the whole tree.
alter table subtasks add column if not exists session_id text;
update subtasks s set session_id = r.session_id
from task_lists t join requests r on r.id = t.request_id
where t.id = s.task_list_id and s.session_id is null;
drop index if exists subtasks_agent;
create index subtasks_agent on subtasks (agent_id, session_id);
create index if not exists subtasks_session on subtasks (session_id, status, created_at);

-- So does an action that was recorded with its subtask only.
update actions a set session_id = s.session_id
from subtasks s where s.id = a.subtask_id and a.session_id is null and s.session_id is not null;

drop index if exists actions_session;
create index actions_session on actions (session_id, created_at desc) where session_id is not null;
create index if not exists actions_files on actions (session_id, created_at desc)
    where session_id is not null and exit_code = 0 and cardinality(file_paths) > 0;
-- Lists as JSON text, in both databases.
create or replace view file_actions as
    select session_id, created_at, cast(to_json(file_paths) as text) as paths, tool_name from actions
    where session_id is not null and exit_code = 0 and cardinality(file_paths) > 0;
create or replace view session_steps as
    select id, session_id, created_at, cast(to_json(file_paths) as text) as paths, tool_name, exit_code, input
    from actions where session_id is not null;
create or replace view session_work as
    select s.id, s.session_id, s.description, s.status, s.agent_type, s.agent_id, t.name as task_name, t.wave_number,
        s.created_at, s.started_at, s.completed_at, cast(to_json(s.blocked_by) as text) as blocked_by, s.result
    from subtasks s join task_lists t on t.id = s.task_list_id;

-- Tool calls that failed when they were last made, one row for each thing that was tried. A later success of the same
-- removes the row.
create table if not exists open_failures (
    session_id text not null,
    subject text not null,
    action_id uuid not null references actions (id) on delete cascade,
    tool_name text not null,
    attempt text not null,
    detail text,
    exit_code integer not null,
    times integer not null default 1,
    failed_at timestamptz not null,
    primary key (session_id, subject)
);
create index if not exists open_failures_action on open_failures (action_id);
create index if not exists open_failures_recent on open_failures (session_id, failed_at desc);

-- What is known of each agent, by session. The original's key (one row for each agent of a project) goes: the same name
-- may be at work in two sessions. Its rows stay.
alter table agent_contexts drop constraint if exists agent_contexts_project_id_agent_id_key;
alter table agent_contexts add column if not exists session_id text;
alter table agent_contexts add column if not exists subtask_id uuid references subtasks (id) on delete cascade;
alter table agent_contexts add column if not exists status text;
alter table agent_contexts add column if not exists started_at timestamptz;
alter table agent_contexts add column if not exists completed_at timestamptz;
create index if not exists agent_contexts_project on agent_contexts (project_id, agent_id, last_updated desc);
create index if not exists agent_contexts_session on agent_contexts (session_id, last_updated desc);
create index if not exists agent_contexts_subtask on agent_contexts (subtask_id);
create index if not exists agent_contexts_updated on agent_contexts (last_updated desc);

-- What was saved just before a compaction; the history of them is kept.
alter table compactions add column if not exists snapshot jsonb;
create index if not exists compactions_recent on compactions (session_id, created_at desc);
