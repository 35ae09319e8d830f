-- What a batch of commands must see (see `Footprint`): rows by id or key, and what they hang on.
-- `newest` asks for the newest request of a session at an instant, and for all later ones.
-- A line that ends in `--? name` is left out when that parameter is not given.

-- name: load_projects
select id, path, name, created_at, updated_at, metadata from projects where id in (
    select id from projects where false
    union all select id from projects where id in (:projects*) --? projects
    union all select id from projects where path in (:paths*) --? paths
)

-- name: load_sessions
select id, project_id, started_at, ended_at, total_tools_used, total_success, total_errors, created_automatically,
    last_seen_at, ended_by_cleanup
from sessions where id in (
    select id from sessions where false
    union all select id from sessions where id in (:sessions*) --? sessions
    union all select session_id from requests where id in (:requests*) --? requests
    union all select r.session_id from task_lists t join requests r on r.id = t.request_id where t.id in (:tasks*) --? tasks
    union all select r.session_id from subtasks s join task_lists t on t.id = s.task_list_id join requests r on r.id = t.request_id where s.id in (:subtasks*) --? subtasks
    union all select id from sessions where project_id in (:projects*) --? projects
)

-- name: load_requests
select r.id, r.project_id, r.session_id, r.prompt, r.prompt_type, r.status, r.created_at, r.completed_at, r.metadata,
    r.external_key,
    (select count(*) from task_lists c where c.request_id = r.id),
    (select count(*) from task_lists c where c.request_id = r.id and c.status not in ('completed', 'failed')),
    (select count(*) from task_lists c where c.request_id = r.id and c.status = 'failed'),
    (select max(c.wave_number) from task_lists c where c.request_id = r.id)
from requests r where r.id in (
    select id from requests where false
    union all select id from requests where id in (:requests*) --? requests
    union all select request_id from task_lists where id in (:tasks*) --? tasks
    union all select t.request_id from subtasks s join task_lists t on t.id = s.task_list_id where s.id in (:subtasks*) --? subtasks
    union all select id from requests where session_id in (:request_key_sessions*) and external_key in (:request_keys*) and external_key is not null --? request_keys
    union all select o.id from requests o join task_lists t on t.request_id = o.id join subtasks s on s.task_list_id = t.id where o.session_id in (:subtask_key_sessions*) and s.external_key in (:subtask_keys*) and s.external_key is not null --? subtask_keys
    union all select q.id from requests q where q.session_id in (:newest*) and not exists (select 1 from requests x where x.session_id = q.session_id and x.created_at > q.created_at and x.created_at <= :newest_before) --? newest
    union all select id from requests where session_id in (:session_requests*) --? session_requests
)

-- name: load_tasks
select t.id, t.request_id, t.name, t.wave_number, t.status, t.created_at, t.completed_at,
    (select count(*) from subtasks c where c.task_list_id = t.id),
    (select count(*) from subtasks c where c.task_list_id = t.id and c.status not in ('completed', 'failed')),
    (select count(*) from subtasks c where c.task_list_id = t.id and c.status = 'failed')
from task_lists t where t.id in (
    select id from task_lists where false
    union all select id from task_lists where id in (:tasks*) --? tasks
    union all select task_list_id from subtasks where id in (:subtasks*) --? subtasks
    union all select t.id from requests o join task_lists t on t.request_id = o.id join subtasks s on s.task_list_id = t.id where o.session_id in (:subtask_key_sessions*) and s.external_key in (:subtask_keys*) and s.external_key is not null --? subtask_keys
    union all select t.id from requests r join task_lists t on t.request_id = r.id and t.wave_number = 0 where r.session_id in (:request_key_sessions*) and r.external_key in (:request_keys*) and r.external_key is not null --? request_keys
    union all select t.id from requests q join task_lists t on t.request_id = q.id and t.wave_number = 0 where q.session_id in (:newest*) and not exists (select 1 from requests x where x.session_id = q.session_id and x.created_at > q.created_at and x.created_at <= :newest_before) --? newest
)

-- name: load_subtasks
select s.id, s.task_list_id, s.agent_type, s.agent_id, s.description, s.status, s.blocked_by, s.created_at,
    s.started_at, s.completed_at, s.context_snapshot, s.result, s.external_key,
    (select r.session_id from task_lists t join requests r on r.id = t.request_id where t.id = s.task_list_id)
from subtasks s where s.id in (
    select id from subtasks where false
    union all select id from subtasks where id in (:subtasks*) --? subtasks
    union all select s.id from requests o join task_lists t on t.request_id = o.id join subtasks s on s.task_list_id = t.id where o.session_id in (:subtask_key_sessions*) and s.external_key in (:subtask_keys*) and s.external_key is not null --? subtask_keys
    union all select s.id from requests q join task_lists t on t.request_id = q.id and t.wave_number = 0 join subtasks s on s.task_list_id = t.id and s.external_key is not null where q.session_id in (:newest*) and not exists (select 1 from requests x where x.session_id = q.session_id and x.created_at > q.created_at and x.created_at <= :newest_before) --? newest
)

-- What succeeded since an instant; of a call without an answer nobody knows that yet.
-- name: load_later_successes
select session_id, tool_name, substr(input, 1, 8000), file_paths, created_at from actions
where session_id = :session_id and created_at >= :since and exit_code = 0
    and (tool_use_id is null or output is not null or duration_ms is not null)
order by created_at, id limit 500

-- name: load_removed_actions
select session_id, newest from removed_actions where session_id in (:sessions*)

-- name: load_action_counts
select session_id, count(*) from actions where session_id in (:action_sessions*) and session_id is not null group by session_id

-- name: load_messages
select id, project_id, from_agent_id, to_agent_id, topic, payload, priority, created_at, expires_at
from agent_messages where id in (:messages*)

-- Names may be types; then these are the agents at work.
-- name: load_open_agents
select distinct s.agent_type, s.agent_id,
    (select r.project_id from task_lists t join requests r on r.id = t.request_id where t.id = s.task_list_id)
from agents_at_work s
where s.agent_type in (:agents*)
limit 1000

-- name: load_message_reads
select message_id, agent_id, read_at from message_reads
where message_id in (:messages*) and agent_id in (:agents*)

-- name: load_subscriptions
select id, agent_id, topic, callback_url, created_at, updated_at from subscriptions where id in (
    select id from subscriptions where false
    union all select id from subscriptions where id in (:subscriptions*) --? subscriptions
    union all select id from subscriptions where agent_id in (:agents*) and topic in (:topics*) --? agents topics
)

-- name: load_blockings
select id, blocked_by, blocked_agent, reason, created_at from blocked_agents where id in (
    select id from blocked_agents where false
    union all select id from blocked_agents where id in (:blockings*) --? blockings
    union all select id from blocked_agents where blocked_by in (:blockers*) and blocked_agent in (:blocked*) --? blockers blocked
)

-- name: load_compactions
select id, session_id, external_key, compaction_trigger, summary, metadata, created_at, snapshot, agent_id
from compactions
where session_id in (:sessions*)

-- name: load_newest_snapshots
select c.id, c.session_id, c.external_key, c.compaction_trigger, c.summary, c.metadata, c.created_at, c.snapshot, c.agent_id
from compactions c
where c.session_id in (:sessions*) and (
    c.agent_id in (:agents*) and c.id = (
        select n.id from compactions n
        where n.session_id = c.session_id and n.agent_id = c.agent_id and n.snapshot is not null
        order by n.created_at desc, n.id desc limit 1
    ) or c.agent_id in (:agents*) and c.id = (
        select n.id from compactions n
        where n.session_id = c.session_id and n.agent_id = c.agent_id and n.external_key not like 'save:%'
        order by n.created_at desc, n.id desc limit 1
    ) or c.id = (
        select n.id from compactions n where n.session_id = c.session_id and n.external_key like 'restore:session:%'
        order by n.created_at desc, n.id desc limit 1
    )
)

-- name: load_hook_states
select session_id, state from hook_states where session_id in (:sessions*)

-- name: load_subtask_action_counts
select subtask_id, count(*) from actions where subtask_id in (:subtasks*) and subtask_id is not null group by subtask_id

-- The twenty most urgent unread messages of each agent, and the newest hundred that are for a kind of agents or for all.
-- name: load_mail
select m.id, m.project_id, m.from_agent_id, m.to_agent_id, m.topic, m.payload, m.priority, m.created_at, m.expires_at
from agent_messages m where m.id in (
    select id from (
        select d.id, row_number() over (partition by d.to_agent_id order by d.priority desc, d.created_at, d.id) as place
        from agent_messages d
        where d.to_agent_id in (:agents*) and (d.expires_at is null or d.expires_at > :now)
            and not exists (select 1 from message_reads r where r.message_id = d.id and r.agent_id = d.to_agent_id)
    ) as direct where place <= 20
    union all
    select id from (
        select b.id from agent_messages b
        where b.to_agent_id is null and (b.expires_at is null or b.expires_at > :now)
        order by b.created_at desc, b.id limit 100
    ) as broadcast
    union all select id from (select k.id from agent_messages k where k.to_agent_id in (:kinds*) and (k.expires_at is null or k.expires_at > :now) order by k.created_at desc, k.id limit 100) as of_kind --? kinds
)

-- Which of those that are for a kind of agents or for all these agents have read.
-- name: load_read_mail
select r.message_id, r.agent_id, r.read_at from message_reads r
where r.agent_id in (:agents*) and r.message_id in (
    select id from (
        select b.id from agent_messages b
        where b.to_agent_id is null and (b.expires_at is null or b.expires_at > :now)
        order by b.created_at desc, b.id limit 100
    ) as broadcast
    union all select id from (select k.id from agent_messages k where k.to_agent_id in (:kinds*) and (k.expires_at is null or k.expires_at > :now) order by k.created_at desc, k.id limit 100) as of_kind --? kinds
)

-- name: load_receipts
select message_id, agent_id, injected_at, times_injected, seen_at, acknowledged_at from message_receipts where false
    or (agent_id in (:agents*) and seen_at is null) --? agents
    or (message_id in (:messages*) and agent_id in (:receivers*)) --? messages receivers

-- name: load_senders
select distinct from_agent_id from agent_messages where from_agent_id in (:agents*)

-- name: load_idempotency
select idempotency_key, fingerprint, outcome from idempotency_keys where idempotency_key in (:keys*)

-- name: find_expired_messages
select id from agent_messages where expires_at < :before order by expires_at limit :limit

-- name: find_idle_sessions
select id from sessions
where ended_at is null and started_at < :began_before and coalesce(last_seen_at, started_at) < :seen_before
order by started_at limit :limit

-- name: find_stuck_subtasks
select s.id from subtasks s
join task_lists t on t.id = s.task_list_id
join requests r on r.id = t.request_id
where s.status = 'running' and coalesce(s.started_at, s.created_at) < :before
    and not exists (select 1 from actions a where a.subtask_id = s.id and a.created_at >= :before)
    and not exists (select 1 from sessions x where x.id = r.session_id and x.ended_at is null and coalesce(x.last_seen_at, x.started_at) >= :before)
    and s.id in (:subtasks*) --? subtasks
order by s.created_at limit :limit
