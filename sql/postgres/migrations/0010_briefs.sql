-- A call knows the subtask it belongs to, so that a brief finds its agent without reading the action again (another name,
-- because a view cannot lose a column again where migrations are repeated). Lists come without nulls: other programs may
-- have written some.
create or replace view file_actions as
    select session_id, created_at, cast(to_json(array_remove(file_paths, null)) as text) as paths, tool_name
    from actions where session_id is not null and exit_code = 0 and cardinality(file_paths) > 0;
create or replace view session_calls as
    select id, session_id, created_at, cast(to_json(array_remove(file_paths, null)) as text) as paths, tool_name,
        exit_code, input, subtask_id
    from actions where session_id is not null;
create or replace view session_work as
    select s.id, s.session_id, s.description, s.status, s.agent_type, s.agent_id, t.name as task_name, t.wave_number,
        s.created_at, s.started_at, s.completed_at,
        cast(to_json(array_remove(s.blocked_by, null)) as text) as blocked_by, s.result
    from subtasks s join task_lists t on t.id = s.task_list_id;

-- What a subtask waits for, one row for each.
create or replace view subtask_blockers as
    select s.id as subtask_id, b.id as blocker_id from subtasks s cross join lateral unnest(s.blocked_by) as b (id)
    where s.status not in ('completed', 'failed');

-- The original wrote the root directory as nothing.
update projects set path = '/' where path = '' and not exists (select 1 from projects x where x.path = '/');

-- Open work that waits for anybody of a kind.
create index if not exists subtasks_waiting on subtasks (session_id, agent_type, created_at)
    where agent_id is null and status in ('running', 'blocked', 'paused', 'pending');
