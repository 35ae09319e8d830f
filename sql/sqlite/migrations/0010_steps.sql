-- A step knows the subtask it belongs to, so that a brief finds its agent without reading the action again.
drop view session_steps;
create view session_steps as
    select id, session_id, created_at, file_paths as paths, tool_name, exit_code, input, subtask_id from actions
    where session_id is not null;
