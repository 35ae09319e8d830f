-- A call knows the subtask it belongs to, so that a brief finds its agent without reading the action again.
create view session_calls as
    select id, session_id, created_at, file_paths as paths, tool_name, exit_code, input, subtask_id from actions
    where session_id is not null;

-- What a subtask waits for, one row for each.
create view subtask_blockers as
    select s.id as subtask_id, b.value as blocker_id from subtasks s join json_each(s.blocked_by) as b
    where s.status not in ('completed', 'failed');

-- Open work that waits for anybody of a kind.
create index subtasks_waiting on subtasks (session_id, agent_type, created_at)
    where agent_id is null and status in ('running', 'blocked', 'paused', 'pending');
