-- A step knows the subtask it belongs to, so that a brief finds its agent without reading the action again.
create or replace view session_steps as
    select id, session_id, created_at, cast(to_json(file_paths) as text) as paths, tool_name, exit_code, input, subtask_id
    from actions where session_id is not null;
