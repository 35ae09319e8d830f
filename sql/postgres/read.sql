-- Reads whose text differs between the dialects.

-- Pair by pair, each on its own: of two lists, or of a join with them, the planner makes a plan that reads every action
-- of a session, or all there are. And the first key not below the wanted one, because only the index of keys has that
-- order: asked for equality, a table without statistics is read by the index of sessions.
-- name: load_actions
select id, session_id, tool_use_id, subtask_id, exit_code, exit_code = 0 and output is null and duration_ms is null from actions where id in (
    select id from actions where false
    union all select id from actions where id in (:actions*) --? actions
    union all select a.id from unnest(:action_key_sessions::text[], :action_keys::text[]) as k (session_id, tool_use_id) cross join lateral (select id, tool_use_id from actions where session_id = k.session_id and tool_use_id >= k.tool_use_id and tool_use_id is not null order by tool_use_id limit 1) a where a.tool_use_id = k.tool_use_id --? action_keys
)

-- `limit 1` keeps the planner from reading a whole table into a hash for a handful of names.
-- name: load_known_agents
select a from unnest(:agents::text[]) as a
where coalesce(
    (select 1 from agent_messages where from_agent_id = a limit 1),
    (select 1 from sessions where id = a limit 1),
    (select 1 from subtasks where agent_id = a limit 1),
    (select 1 from subtasks where agent_type = a limit 1),
    (select 1 from subscriptions where agent_id = a limit 1),
    (select 1 from agent_channels where agent_id = a limit 1),
    (select 1 from message_reads where agent_id = a limit 1)
) is not null

-- 4096 keys, because a batch may name any number of sessions and the server's table of locks has an end; two names
-- that share a key only wait for each other. Locks, in key order, what the batch decides on: the given keys, and the sessions that the given rows belong to.
-- name: lock_keys
select pg_advisory_xact_lock(locks.key) from (
    select distinct hashtextextended(names.name, 0) & 4095 as key from (
        select unnest(:names::text[]) as name
        union all select 'session:' || session_id from requests where id in (:requests*) --? requests
        union all select 'session:' || r.session_id from task_lists t join requests r on r.id = t.request_id where t.id in (:tasks*) --? tasks
        union all select 'session:' || r.session_id from subtasks s join task_lists t on t.id = s.task_list_id join requests r on r.id = t.request_id where s.id in (:subtasks*) --? subtasks
        union all select 'session:' || session_id from requests where project_id in (:projects*) --? projects
        union all select 'path:' || path from projects where id in (:projects*) --? projects
    ) as names
    order by 1
) as locks

-- name: hourly_actions
select date_trunc('hour', created_at, 'UTC'), count(*) from actions where created_at >= :since
group by 1 order by 1

-- name: project_stats
select p.id, p.name, p.path,
    (select count(*) from requests r where r.project_id = p.id),
    (select count(*) from requests r join task_lists t on t.request_id = r.id join subtasks s on s.task_list_id = t.id
        where r.project_id = p.id),
    count(a.id), count(a.id) filter (where a.exit_code = 0), avg(a.duration_ms), max(a.created_at)
from projects p
left join requests r on r.project_id = p.id
left join task_lists t on t.request_id = r.id
left join subtasks s on s.task_list_id = t.id
left join actions a on a.subtask_id = s.id
where p.id = :id
group by p.id, p.name, p.path

-- name: event_exists
select 1 from events where created_at = :at and id = :id
