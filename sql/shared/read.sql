-- Reads for the API. A line that ends in `--? name` is left out when that parameter is not given.

-- name: counts
select (select count(*) from projects), (select count(*) from requests), (select count(*) from actions),
    (select count(*) from agent_messages)

-- name: message_counts
select count(*), sum(case when expires_at < :now then 1 else 0 end),
    sum(case when exists (select 1 from message_reads r where r.message_id = m.id) then 0 else 1 end)
from agent_messages m

-- name: message_topics
select coalesce(topic, ''), count(*) from agent_messages group by topic order by count(*) desc, topic

-- name: project_get
select id, path, name, created_at, updated_at, metadata from projects where id = :id

-- name: project_by_path
select id, path, name, created_at, updated_at, metadata from projects where path = :path

-- name: project_page
select id, path, name, created_at, updated_at, metadata from projects
order by updated_at desc, id desc limit :limit offset :offset

-- name: project_count
select count(*) from projects

-- name: request_get
select id, project_id, session_id, prompt, prompt_type, status, created_at, completed_at, metadata, external_key
from requests where id = :id

-- name: request_page
select id, project_id, session_id, prompt, prompt_type, status, created_at, completed_at, metadata, external_key
from requests where true
    and project_id = :project_id --? project_id
    and session_id = :session_id --? session_id
    and status = :status --? status
order by created_at desc, id desc
limit :limit offset :offset

-- name: task_get
select id, request_id, name, wave_number, status, created_at, completed_at from task_lists where id = :id

-- name: task_page
select id, request_id, name, wave_number, status, created_at, completed_at from task_lists where true
    and status = :status --? status
order by created_at desc, id desc limit :limit offset :offset

-- name: task_page_of_request
select id, request_id, name, wave_number, status, created_at, completed_at from task_lists
where request_id = :request_id
    and status = :status --? status
order by wave_number, created_at, id limit :limit offset :offset

-- name: subtask_get
select id, task_list_id, agent_type, agent_id, description, status, blocked_by, created_at, started_at, completed_at,
    context_snapshot, result, external_key
from subtasks where id = :id

-- name: subtask_page
select id, task_list_id, agent_type, agent_id, description, status, blocked_by, created_at, started_at, completed_at,
    context_snapshot, result, external_key
from subtasks where true
    and status = :status --? status
    and agent_type = :agent_type --? agent_type
    and agent_id = :agent_id --? agent_id
order by created_at desc, id desc limit :limit offset :offset

-- name: subtask_page_of_task
select id, task_list_id, agent_type, agent_id, description, status, blocked_by, created_at, started_at, completed_at,
    context_snapshot, result, external_key
from subtasks where task_list_id = :task_id
    and status = :status --? status
    and agent_type = :agent_type --? agent_type
    and agent_id = :agent_id --? agent_id
order by created_at, id limit :limit offset :offset

-- name: actions_of_subtask
select id, tool_name, tool_type, exit_code, duration_ms, file_paths, created_at, session_id, subtask_id
from actions where subtask_id = :id order by created_at, id

-- name: action_page
select id, tool_name, tool_type, exit_code, duration_ms, file_paths, created_at, session_id, subtask_id
from actions where true
    and tool_type = :tool_type --? tool_type
    and tool_name = :tool_name --? tool_name
    and session_id = :session_id --? session_id
    and subtask_id = :subtask_id --? subtask_id
order by created_at desc, id desc limit :limit offset :offset

-- name: action_page_count
select count(*) from actions where true
    and tool_type = :tool_type --? tool_type
    and tool_name = :tool_name --? tool_name
    and session_id = :session_id --? session_id
    and subtask_id = :subtask_id --? subtask_id

-- name: hierarchy_requests
select id, project_id, session_id, prompt, prompt_type, status, created_at, completed_at, metadata, external_key
from requests where project_id = :id order by created_at desc, id desc

-- name: hierarchy_tasks
select t.id, t.request_id, t.name, t.wave_number, t.status, t.created_at, t.completed_at
from requests r join task_lists t on t.request_id = r.id where r.project_id = :id
order by t.wave_number, t.created_at, t.id

-- Not in order: a sort over the whole project costs more than one in each task, which the engine makes.
-- name: hierarchy_subtasks
select s.id, s.task_list_id, s.agent_type, s.agent_id, s.description, s.status, s.blocked_by, s.created_at,
    s.started_at, s.completed_at, s.result
from requests r join task_lists t on t.request_id = r.id join subtasks s on s.task_list_id = t.id
where r.project_id = :id

-- name: active_agents
select p.id, p.name, p.path, r.session_id, r.id, s.id, s.agent_type, s.agent_id, s.status, s.description,
    s.created_at, s.started_at, (select count(*) from actions a where a.subtask_id = s.id)
from subtasks s
join task_lists t on t.id = s.task_list_id
join requests r on r.id = t.request_id
left join projects p on p.id = r.project_id
where s.status in ('running', 'paused', 'blocked')
order by s.started_at desc nulls first, s.id desc
limit 1000

-- name: session_get
select id, project_id, started_at, ended_at, total_tools_used, total_success, total_errors, created_automatically,
    last_seen_at, ended_by_cleanup
from sessions where id = :id

-- name: session_page
select id, project_id, started_at, ended_at, total_tools_used, total_success, total_errors, created_automatically,
    last_seen_at, ended_by_cleanup
from sessions where true
    and project_id = :project_id --? project_id
    and ended_at is null and :active_only = :active_only --? active_only
order by started_at desc, id desc limit :limit offset :offset

-- name: session_page_count
select count(*) from sessions where true
    and project_id = :project_id --? project_id
    and ended_at is null and :active_only = :active_only --? active_only

-- name: session_overview
select count(*), sum(case when ended_at is null then 1 else 0 end), sum(total_tools_used), sum(total_success),
    sum(total_errors), avg(total_tools_used), min(started_at), max(started_at)
from sessions

-- name: session_projects
select p.name, p.path, count(*), sum(s.total_tools_used)
from sessions s left join projects p on p.id = s.project_id
group by p.id, p.name, p.path order by count(*) desc, p.path limit 10

-- name: message_page
select id, project_id, from_agent_id, to_agent_id, topic, payload, priority, created_at, expires_at
from agent_messages where (expires_at is null or expires_at > :now)
    and topic = :topic --? topic
order by created_at desc, id desc limit :limit offset :offset

-- name: message_page_count
select count(*) from agent_messages where (expires_at is null or expires_at > :now)
    and topic = :topic --? topic

-- name: inbox
select * from (
    select m.id, m.project_id, m.from_agent_id, m.to_agent_id, m.topic, m.payload, m.priority, m.created_at, m.expires_at,
        r.message_id is not null as is_read
    from agent_messages m left join message_reads r on r.message_id = m.id and r.agent_id = :reader
    where (m.expires_at is null or m.expires_at > :now)
        and m.to_agent_id = :agent_id --? agent_id
        and m.created_at > :since --? since
        and m.topic = :topic --? topic
    union all --? agent_id broadcasts
    select m.id, m.project_id, m.from_agent_id, m.to_agent_id, m.topic, m.payload, m.priority, m.created_at, m.expires_at, r.message_id is not null as is_read from agent_messages m left join message_reads r on r.message_id = m.id and r.agent_id = :reader where (m.expires_at is null or m.expires_at > :now) and m.to_agent_id is null and :broadcasts = :broadcasts --? agent_id broadcasts
        and m.created_at > :since --? agent_id broadcasts since
        and m.topic = :topic --? agent_id broadcasts topic
    -- To the kind of an agent that is at work, in its project.
    union all --? agent_id
    select m.id, m.project_id, m.from_agent_id, m.to_agent_id, m.topic, m.payload, m.priority, m.created_at, m.expires_at, r.message_id is not null as is_read --? agent_id
    from agent_messages m left join message_reads r on r.message_id = m.id and r.agent_id = :reader --? agent_id
    where (m.expires_at is null or m.expires_at > :now) --? agent_id
        and m.id in (select k.id from subtasks s join task_lists t on t.id = s.task_list_id join requests q on q.id = t.request_id join agent_messages k on k.to_agent_id = s.agent_type and (k.project_id is null or k.project_id = q.project_id) where s.agent_id = :agent_id and s.agent_type <> s.agent_id and s.status not in ('completed', 'failed')) --? agent_id
        and m.created_at > :since --? agent_id since
        and m.topic = :topic --? agent_id topic
) as mail
order by priority desc, created_at, id limit :limit

-- name: message_get
select id, project_id, from_agent_id, to_agent_id, topic, payload, priority, created_at, expires_at
from agent_messages where id = :id

-- name: receipts_of
select x.message_id, x.agent_id, r.injected_at, r.times_injected, coalesce(r.seen_at, d.read_at), r.acknowledged_at
from (
    select message_id, agent_id from message_receipts where message_id = :id
    union select message_id, agent_id from message_reads where message_id = :id
) as x
left join message_receipts r on r.message_id = x.message_id and r.agent_id = x.agent_id
left join message_reads d on d.message_id = x.message_id and d.agent_id = x.agent_id
order by x.agent_id limit 1000

-- name: hook_state
select state from hook_states where session_id = :session_id

-- name: inbox_unread
select (
    select count(*) from agent_messages m
    where (m.expires_at is null or m.expires_at > :now) and (false
            or m.to_agent_id = :agent_id --? agent_id
            or (m.to_agent_id is null and :broadcasts = :broadcasts) --? broadcasts
        )
        and not exists (select 1 from message_reads r where r.message_id = m.id and r.agent_id = :reader)
)
    + (select count(*) from agent_messages m where (m.expires_at is null or m.expires_at > :now) and m.id in (select k.id from subtasks s join task_lists t on t.id = s.task_list_id join requests q on q.id = t.request_id join agent_messages k on k.to_agent_id = s.agent_type and (k.project_id is null or k.project_id = q.project_id) where s.agent_id = :agent_id and s.agent_type <> s.agent_id and s.status not in ('completed', 'failed')) and not exists (select 1 from message_reads r where r.message_id = m.id and r.agent_id = :reader)) --? agent_id

-- name: subscription_list
select id, agent_id, topic, callback_url, created_at, updated_at from subscriptions where true
    and agent_id = :agent_id --? agent_id
    and topic = :topic --? topic
order by created_at desc, id desc limit 1000

-- name: blockings_of
select id, blocked_by, blocked_agent, reason, created_at from blocked_agents where blocked_agent = :agent
union
select id, blocked_by, blocked_agent, reason, created_at from blocked_agents where blocked_by = :agent
order by 5 desc, 1 desc

-- name: session_of_agent
select r.session_id from subtasks s
join task_lists t on t.id = s.task_list_id
join requests r on r.id = t.request_id
where s.agent_id = :agent and s.status not in ('completed', 'failed')
order by s.created_at desc limit 1

-- name: context_kind
select agent_type from subtasks where agent_id = :agent and session_id = :session_id and agent_type is not null
order by created_at desc, id desc limit 1

-- name: context_tasks
select s.id, s.description, s.status, s.agent_type, s.created_at, s.started_at, s.blocked_by, t.name, t.wave_number
from requests r join task_lists t on t.request_id = r.id join subtasks s on s.task_list_id = t.id
where r.session_id = :session_id and (s.agent_id = :agent or s.agent_type = :agent)
    and s.status in ('running', 'blocked', 'paused', 'pending') and r.status <> 'cancelled'
order by case s.status when 'running' then 1 when 'blocked' then 2 when 'paused' then 3 else 4 end, s.created_at, s.id
limit 20

-- name: context_messages
select m.id, m.from_agent_id, m.topic, m.payload, m.priority, m.created_at, m.to_agent_id from agent_messages m
where (m.to_agent_id = :agent or m.to_agent_id is null or m.to_agent_id in (
        select s.agent_type from subtasks s
        where s.agent_id = :agent and s.session_id = :session_id and s.status not in ('completed', 'failed')
    ) and (m.from_agent_id is null or m.from_agent_id <> :agent))
    and (m.expires_at is null or m.expires_at > :now)
    and not exists (select 1 from message_reads r where r.message_id = m.id and r.agent_id = :agent)
    and coalesce(m.topic, '') <> 'context.generated'
    and (m.project_id is null or m.project_id = coalesce(
        :project_id, --? project_id
        (select q.project_id from requests q
            where q.session_id = :session_id order by q.created_at desc, q.id desc limit 1),
        (select z.project_id from sessions z where z.id = :session_id)
    ))
order by m.priority desc, m.created_at, m.id limit 20

-- Those of agents that were at work in other places only are left out, as in briefs.
-- name: context_blockings
select b.id, b.blocked_by, b.reason, b.created_at from blocked_agents b
where b.blocked_agent = :agent and (
    exists (select 1 from subtasks s where s.agent_id = b.blocked_by and s.session_id = :session_id)
    or exists (select 1 from agent_contexts k where k.agent_id = b.blocked_by and k.project_id = coalesce(
        :project_id, --? project_id
        (select q.project_id from requests q
            where q.session_id = :session_id order by q.created_at desc, q.id desc limit 1),
        (select z.project_id from sessions z where z.id = :session_id)
    ))
    or not exists (select 1 from subtasks s where s.agent_id = b.blocked_by)
)
order by b.created_at desc, b.id desc

-- name: context_history
select a.id, a.tool_name, a.tool_type, a.exit_code, a.duration_ms, a.file_paths, a.created_at
from requests r join task_lists t on t.request_id = r.id join subtasks s on s.task_list_id = t.id
join actions a on a.subtask_id = s.id
where r.session_id = :session_id and (s.agent_id = :agent or s.agent_type = :agent)
order by a.created_at desc, a.id desc limit :limit

-- name: newest_compaction
select id, session_id, external_key, compaction_trigger, summary, metadata, created_at, snapshot, agent_id
from compactions
where session_id = :session_id and snapshot is null and (agent_id = '' or external_key like 'restore:%')
order by created_at desc, id desc limit 1

-- name: context_session
select id, session_id, status, created_at, prompt, project_id from requests
where session_id = :session_id order by created_at desc, id desc limit 1

-- name: context_project
select id, name, path from projects where id = :id

-- name: context_project_of_session
select p.id, p.name, p.path from projects p where p.id = coalesce(
    (select r.project_id from requests r where r.session_id = :session_id order by r.created_at desc, r.id desc limit 1),
    (select s.project_id from sessions s where s.id = :session_id)
)

-- name: newest_snapshot
select id, session_id, external_key, compaction_trigger, summary, metadata, created_at, snapshot, agent_id
from compactions
where session_id = :session_id and snapshot is not null
    and agent_id = :agent_id --? agent_id
-- The main agent's before those of its sub-agents.
order by agent_id <> '', created_at desc, id desc limit 1

-- name: compaction_history
select id, compaction_trigger, snapshot is not null, summary is not null, created_at, agent_id from compactions
where session_id = :session_id order by created_at desc, id desc limit 50

-- name: agent_context_page
select id, project_id, session_id, subtask_id, agent_id, agent_type, status, role_context, skills_to_restore, tools_used,
    progress_summary, started_at, completed_at, last_updated
from agent_contexts where true
    and project_id = :project_id --? project_id
    and session_id = :session_id --? session_id
    and agent_id = :agent_id --? agent_id
    and agent_type = :agent_type --? agent_type
order by last_updated desc, id desc limit :limit offset :offset

-- name: agent_context_count
select count(*) from agent_contexts where true
    and project_id = :project_id --? project_id
    and session_id = :session_id --? session_id
    and agent_id = :agent_id --? agent_id
    and agent_type = :agent_type --? agent_type

-- name: agent_context_statuses
select coalesce(status, 'unknown'), count(*) from agent_contexts group by 1 order by 1

-- name: agent_context_types
select agent_type, count(*) from agent_contexts group by 1 order by 2 desc, 1 limit 50
