-- What briefs read, so that a brief costs the same in a long session as in a short one.

-- A subtask knows its session: else every brief would walk the whole tree.
alter table subtasks add column session_id text;
update subtasks set session_id = (
    select r.session_id from task_lists t join requests r on r.id = t.request_id where t.id = subtasks.task_list_id
);
drop index subtasks_agent;
create index subtasks_agent on subtasks (agent_id, session_id);
create index subtasks_session on subtasks (session_id, status, created_at);

-- So does an action that was recorded with its subtask only.
update actions set session_id = (
    select s.session_id from subtasks s where s.id = actions.subtask_id
) where session_id is null and subtask_id is not null;

drop index actions_session;
create index actions_session on actions (session_id, created_at desc) where session_id is not null;
-- It holds all that a brief reads of these rows; the rows themselves are long.
create index actions_files on actions (session_id, created_at desc, file_paths, tool_name)
    where session_id is not null and exit_code = 0 and file_paths <> '[]';
-- Lists as JSON text, in both databases.
create view file_actions as
    select session_id, created_at, file_paths as paths, tool_name from actions indexed by actions_files
    where session_id is not null and exit_code = 0 and file_paths <> '[]';
create view session_steps as
    select id, session_id, created_at, file_paths as paths, tool_name, exit_code, input from actions
    where session_id is not null;
create view session_work as
    select s.id, s.session_id, s.description, s.status, s.agent_type, s.agent_id, t.name as task_name, t.wave_number,
        s.created_at, s.started_at, s.completed_at, s.blocked_by, s.result
    from subtasks s join task_lists t on t.id = s.task_list_id;

-- Tool calls that failed when they were last made, one row for each thing that was tried. A later success of the same
-- removes the row.
create table open_failures (
    session_id text not null,
    subject text not null,
    action_id text not null references actions (id) on delete cascade,
    tool_name text not null,
    attempt text not null,
    detail text,
    exit_code integer not null,
    times integer not null default 1,
    failed_at integer not null,
    primary key (session_id, subject)
) strict, without rowid;
create index open_failures_action on open_failures (action_id);
create index open_failures_recent on open_failures (session_id, failed_at desc);

-- What is known of each agent, by session. Nothing has used the table so far.
drop table agent_contexts;
create table agent_contexts (
    id text primary key not null,
    project_id text references projects (id) on delete cascade,
    session_id text,
    subtask_id text references subtasks (id) on delete cascade,
    agent_id text not null,
    agent_type text not null,
    role_context text not null default '{}',
    skills_to_restore text,
    tools_used text,
    progress_summary text,
    status text,
    started_at integer,
    completed_at integer,
    last_updated integer not null
) strict;
create index agent_contexts_project on agent_contexts (project_id, agent_id, last_updated desc);
create index agent_contexts_session on agent_contexts (session_id, last_updated desc);
create index agent_contexts_subtask on agent_contexts (subtask_id);
create index agent_contexts_updated on agent_contexts (last_updated desc);

-- What was saved just before a compaction; the history of them is kept.
alter table compactions add column snapshot text;
create index compactions_recent on compactions (session_id, created_at desc);
