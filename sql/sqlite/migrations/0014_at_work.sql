-- Agents at work of whom a type is known. What was adopted without a request is nobody's work.
create view agents_at_work as
select agent_type, agent_id, task_list_id from subtasks
where status in ('running', 'paused', 'blocked') and agent_id <> agent_type and session_id is not null;
