-- Reads whose text differs between the dialects.

-- Pair by pair: two lists would be every key in every session. `cross join` begins with the pairs.
-- name: load_actions
select id, session_id, tool_use_id, subtask_id, exit_code, exit_code = 0 and output is null and duration_ms is null from actions where id in (
    select id from actions where false
    union all select id from actions where id in (:actions*) --? actions
    union all select a.id from json_each(:action_key_pairs) p cross join actions a on a.session_id = p.value ->> 0 and a.tool_use_id = p.value ->> 1 and a.tool_use_id is not null --? action_key_pairs
)

-- name: load_known_agents
select a.value from json_each(:agents) a
where exists (select 1 from subtasks where agent_id = a.value)
    or exists (select 1 from subtasks where agent_type = a.value)
    or exists (select 1 from sessions where id = a.value)
    or exists (select 1 from subscriptions where agent_id = a.value)
    or exists (select 1 from agent_messages where from_agent_id = a.value)
    or exists (select 1 from agent_channels where agent_id = a.value)
    or exists (select 1 from message_reads where agent_id = a.value)

-- name: hourly_actions
select created_at / 3600000000 * 3600000000, count(*) from actions where created_at >= :since
group by 1 order by 1

-- name: project_stats
select p.id, p.name, p.path,
    (select count(*) from requests r where r.project_id = p.id),
    (select count(*) from requests r join task_lists t on t.request_id = r.id join subtasks s on s.task_list_id = t.id
        where r.project_id = p.id),
    count(a.id), sum(a.exit_code = 0), avg(a.duration_ms), max(a.created_at)
from projects p
left join requests r on r.project_id = p.id
left join task_lists t on t.request_id = r.id
left join subtasks s on s.task_list_id = t.id
left join actions a on a.subtask_id = s.id
where p.id = :id
group by p.id

-- There is one writer, so what it has just written is near the head.
-- name: event_exists
select 1 from events
where seq > (select seq - 100000 from event_log_head) and created_at = :at and id = :id
