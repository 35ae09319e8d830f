-- Bulk writes: every column is one array.

-- name: write_projects
insert into projects (
    id, path, name, created_at, updated_at, metadata
)
select
    x.id, x.path, x.name, x.created_at, x.updated_at, x.metadata
from unnest(
    :id::uuid[], :path::text[], :name::text[], :created_at::timestamptz[], :updated_at::timestamptz[],
    :metadata::jsonb[]
) as x (
    id, path, name, created_at, updated_at, metadata
)
on conflict (id) do update set
    name = excluded.name, created_at = excluded.created_at,
    updated_at = excluded.updated_at, metadata = excluded.metadata

-- name: write_sessions
insert into sessions (
    id, project_id, started_at, ended_at, total_tools_used, total_success, total_errors, created_automatically,
    last_seen_at, ended_by_cleanup
)
select
    x.id, x.project_id, x.started_at, x.ended_at, x.total_tools_used, x.total_success, x.total_errors,
    x.created_automatically, x.last_seen_at, x.ended_by_cleanup
from unnest(
    :id::text[], :project_id::uuid[], :started_at::timestamptz[], :ended_at::timestamptz[],
    :total_tools_used::integer[], :total_success::integer[], :total_errors::integer[],
    :created_automatically::boolean[], :last_seen_at::timestamptz[], :ended_by_cleanup::boolean[]
) as x (
    id, project_id, started_at, ended_at, total_tools_used, total_success, total_errors, created_automatically,
    last_seen_at, ended_by_cleanup
)
on conflict (id) do update set
    project_id = excluded.project_id, started_at = excluded.started_at, ended_at = excluded.ended_at,
    total_tools_used = excluded.total_tools_used, total_success = excluded.total_success,
    total_errors = excluded.total_errors, created_automatically = excluded.created_automatically,
    last_seen_at = excluded.last_seen_at, ended_by_cleanup = excluded.ended_by_cleanup

-- name: touch_sessions
update sessions s set
    total_tools_used = x.total_tools_used, total_success = x.total_success, total_errors = x.total_errors,
    created_automatically = x.created_automatically, last_seen_at = x.last_seen_at,
    ended_by_cleanup = x.ended_by_cleanup
from unnest(
    :id::text[], :total_tools_used::integer[], :total_success::integer[], :total_errors::integer[],
    :created_automatically::boolean[], :last_seen_at::timestamptz[], :ended_by_cleanup::boolean[]
) as x (id, total_tools_used, total_success, total_errors, created_automatically, last_seen_at, ended_by_cleanup)
where s.id = x.id

-- name: write_requests
insert into requests (
    id, project_id, session_id, prompt, prompt_type, status, created_at, completed_at, metadata, external_key
)
select
    x.id, x.project_id, x.session_id, x.prompt, x.prompt_type, x.status, x.created_at, x.completed_at,
    x.metadata, x.external_key
from unnest(
    :id::uuid[], :project_id::uuid[], :session_id::text[], :prompt::text[], :prompt_type::text[],
    :status::text[], :created_at::timestamptz[], :completed_at::timestamptz[], :metadata::jsonb[],
    :external_key::text[]
) as x (
    id, project_id, session_id, prompt, prompt_type, status, created_at, completed_at, metadata, external_key
)
on conflict (id) do update set
    project_id = excluded.project_id, session_id = excluded.session_id, prompt = excluded.prompt,
    prompt_type = excluded.prompt_type, status = excluded.status, created_at = excluded.created_at,
    completed_at = excluded.completed_at, metadata = excluded.metadata, external_key = excluded.external_key

-- name: write_tasks
insert into task_lists (
    id, request_id, name, wave_number, status, created_at, completed_at
)
select
    x.id, x.request_id, x.name, x.wave_number, x.status, x.created_at, x.completed_at
from unnest(
    :id::uuid[], :request_id::uuid[], :name::text[], :wave_number::integer[], :status::text[],
    :created_at::timestamptz[], :completed_at::timestamptz[]
) as x (
    id, request_id, name, wave_number, status, created_at, completed_at
)
on conflict (id) do update set
    request_id = excluded.request_id, name = excluded.name, wave_number = excluded.wave_number,
    status = excluded.status, created_at = excluded.created_at, completed_at = excluded.completed_at

-- name: write_subtasks
insert into subtasks (
    id, task_list_id, agent_type, agent_id, description, status, blocked_by, created_at, started_at,
    completed_at, context_snapshot, result, external_key, session_id
)
select
    x.id, x.task_list_id, x.agent_type, x.agent_id, x.description, x.status, x.blocked_by::uuid[], x.created_at,
    x.started_at, x.completed_at, x.context_snapshot, x.result, x.external_key, x.session_id
from unnest(
    :id::uuid[], :task_list_id::uuid[], :agent_type::text[], :agent_id::text[], :description::text[],
    :status::text[], :blocked_by::text[], :created_at::timestamptz[], :started_at::timestamptz[],
    :completed_at::timestamptz[], :context_snapshot::jsonb[], :result::jsonb[], :external_key::text[],
    :session_id::text[]
) as x (
    id, task_list_id, agent_type, agent_id, description, status, blocked_by, created_at, started_at,
    completed_at, context_snapshot, result, external_key, session_id
)
on conflict (id) do update set
    task_list_id = excluded.task_list_id, agent_type = excluded.agent_type, agent_id = excluded.agent_id,
    description = excluded.description, status = excluded.status, blocked_by = excluded.blocked_by,
    created_at = excluded.created_at, started_at = excluded.started_at, completed_at = excluded.completed_at,
    context_snapshot = excluded.context_snapshot, result = excluded.result, external_key = excluded.external_key,
    session_id = coalesce(excluded.session_id, subtasks.session_id)

-- name: write_subscriptions
insert into subscriptions (
    id, agent_id, topic, callback_url, created_at, updated_at
)
select
    x.id, x.agent_id, x.topic, x.callback_url, x.created_at, x.updated_at
from unnest(
    :id::uuid[], :agent_id::text[], :topic::text[], :callback_url::text[], :created_at::timestamptz[],
    :updated_at::timestamptz[]
) as x (
    id, agent_id, topic, callback_url, created_at, updated_at
)
on conflict (id) do update set
    agent_id = excluded.agent_id, topic = excluded.topic, callback_url = excluded.callback_url,
    created_at = excluded.created_at, updated_at = excluded.updated_at

-- name: write_blockings
insert into blocked_agents (
    id, blocked_by, blocked_agent, reason, created_at
)
select
    x.id, x.blocked_by, x.blocked_agent, x.reason, x.created_at
from unnest(
    :id::uuid[], :blocked_by::text[], :blocked_agent::text[], :reason::text[], :created_at::timestamptz[]
) as x (
    id, blocked_by, blocked_agent, reason, created_at
)
on conflict (id) do update set
    blocked_by = excluded.blocked_by, blocked_agent = excluded.blocked_agent, reason = excluded.reason,
    created_at = excluded.created_at

-- name: write_compactions
insert into compactions (
    id, session_id, external_key, compaction_trigger, summary, metadata, created_at, snapshot,
    agent_id
)
select
    x.id, x.session_id, x.external_key, x.compaction_trigger, x.summary, x.metadata, x.created_at, x.snapshot,
    x.agent_id
from unnest(
    :id::uuid[], :session_id::text[], :external_key::text[], :compaction_trigger::text[], :summary::text[],
    :metadata::jsonb[], :created_at::timestamptz[], :snapshot::jsonb[], :agent_id::text[]
) as x (
    id, session_id, external_key, compaction_trigger, summary, metadata, created_at, snapshot, agent_id
)
on conflict (id) do update set
    session_id = excluded.session_id, external_key = excluded.external_key,
    compaction_trigger = excluded.compaction_trigger, summary = excluded.summary, metadata = excluded.metadata,
    created_at = excluded.created_at, snapshot = excluded.snapshot, agent_id = excluded.agent_id

-- name: write_agent_contexts
insert into agent_contexts (
    id, project_id, session_id, subtask_id, agent_id, agent_type, role_context, progress_summary, status,
    started_at, completed_at, last_updated, tools_used
)
select
    x.id, x.project_id, x.session_id, x.subtask_id, x.agent_id, x.agent_type, x.role_context, x.progress_summary,
    x.status, x.started_at, x.completed_at, x.last_updated,
    (select array_agg(distinct a.tool_name order by a.tool_name) from actions a where a.subtask_id = x.subtask_id)
from unnest(
    :id::uuid[], :project_id::uuid[], :session_id::text[], :subtask_id::uuid[], :agent_id::text[],
    :agent_type::text[], :role_context::jsonb[], :progress_summary::text[], :status::text[],
    :started_at::timestamptz[], :completed_at::timestamptz[], :last_updated::timestamptz[]
) as x (
    id, project_id, session_id, subtask_id, agent_id, agent_type, role_context, progress_summary, status,
    started_at, completed_at, last_updated
)
on conflict (id) do update set
    project_id = excluded.project_id, subtask_id = excluded.subtask_id, agent_type = excluded.agent_type,
    role_context = excluded.role_context, progress_summary = excluded.progress_summary, status = excluded.status,
    started_at = excluded.started_at, completed_at = excluded.completed_at, last_updated = excluded.last_updated,
    tools_used = excluded.tools_used
where excluded.last_updated >= agent_contexts.last_updated

-- The columns are taken apart in the list of what is selected, which costs less than a function in `from`: rows are many
-- here, and in the messages and events below.
-- name: insert_actions
insert into actions (
    id, subtask_id, session_id, tool_use_id, tool_name, tool_type, input, output, file_paths, exit_code,
    duration_ms, created_at, recorded_at, metadata
)
select
    unnest(:id::uuid[]), unnest(:subtask_id::uuid[]), unnest(:session_id::text[]), unnest(:tool_use_id::text[]),
    unnest(:tool_name::text[]), unnest(:tool_type::text[]), unnest(:input::bytea[]), unnest(:output::bytea[]),
    unnest(:file_paths::text[])::text[], unnest(:exit_code::integer[]), unnest(:duration_ms::integer[]),
    unnest(:created_at::timestamptz[]), unnest(:recorded_at::timestamptz[]), unnest(:metadata::jsonb[])

-- name: mend_failures
delete from open_failures f
using unnest(:session_id::text[], :subject::text[], :mended_at::timestamptz[]) as x (session_id, subject, mended_at)
where f.session_id = x.session_id and f.subject = x.subject and f.failed_at <= x.mended_at

-- name: note_failures
insert into open_failures (
    session_id, subject, action_id, tool_name, attempt, detail, exit_code, times, failed_at
)
select
    x.session_id, x.subject, x.action_id, x.tool_name, x.attempt, x.detail, x.exit_code, x.times, x.failed_at
from unnest(
    :session_id::text[], :subject::text[], :action_id::uuid[], :tool_name::text[], :attempt::text[],
    :detail::text[], :exit_code::integer[], :times::integer[], :failed_at::timestamptz[]
) as x (
    session_id, subject, action_id, tool_name, attempt, detail, exit_code, times, failed_at
)
on conflict (session_id, subject) do update set
    action_id = excluded.action_id, tool_name = excluded.tool_name, attempt = excluded.attempt,
    detail = excluded.detail, exit_code = excluded.exit_code, times = open_failures.times + excluded.times,
    failed_at = excluded.failed_at
where excluded.failed_at >= open_failures.failed_at

-- What was decided as if no agents of these types were at work (see load_open_agents) fails when there are some.
-- name: expect_nobody_at_work
select 1 / nobody_at_work(:agents)::integer

-- A statement of its own: what comes behind it sees what was committed before it got the head.
-- name: lock_log_head
select seq from event_log_head for update

-- Notes that the attempt was given up, unless its event has come since the log ended with `seq`. Of attempts whose fate is
-- not known there are few in a day, and whoever sent one has an end after that.
-- name: give_up_attempt
update event_log_head set given_up_at = now(),
    given_up = case when given_up_at > now() - interval '1 day' then (:attempt::bigint || given_up)[:1000]
        else array[:attempt::bigint] end
where not exists (select 1 from events where seq > :seq::bigint and id = :id)
returning 1

-- name: insert_messages
insert into agent_messages (
    id, project_id, from_agent_id, to_agent_id, message_type, topic, payload, priority, created_at, expires_at
)
select
    unnest(:id::uuid[]), unnest(:project_id::uuid[]), unnest(:from_agent_id::text[]), unnest(:to_agent_id::text[]),
    unnest(:message_type::text[]), unnest(:topic::text[]), unnest(:payload::jsonb[]), unnest(:priority::integer[]),
    unnest(:created_at::timestamptz[]), unnest(:expires_at::timestamptz[])

-- name: insert_message_reads
insert into message_reads (
    message_id, agent_id, read_at
)
select
    x.message_id, x.agent_id, x.read_at
from unnest(
    :message_id::uuid[], :agent_id::text[], :read_at::timestamptz[]
) as x (
    message_id, agent_id, read_at
)
on conflict do nothing

-- name: insert_idempotency
insert into idempotency_keys (
    idempotency_key, fingerprint, outcome, created_at
)
select
    x.idempotency_key, x.fingerprint, x.outcome, x.created_at
from unnest(
    :idempotency_key::text[], :fingerprint::text[], :outcome::text[], :created_at::timestamptz[]
) as x (
    idempotency_key, fingerprint, outcome, created_at
)

-- name: answer_actions
update actions set exit_code = x.exit_code, output = x.output, duration_ms = x.duration_ms
from unnest(:id::uuid[], :exit_code::integer[], :output::bytea[], :duration_ms::integer[])
    as x (id, exit_code, output, duration_ms)
where actions.id = x.id

-- name: write_hook_states
insert into hook_states (session_id, state, updated_at)
select x.session_id, x.state, x.updated_at
from unnest(:session_id::text[], :state::jsonb[], :updated_at::timestamptz[]) as x (session_id, state, updated_at)
on conflict (session_id) do update set state = excluded.state, updated_at = excluded.updated_at

-- name: write_receipts
insert into message_receipts (message_id, agent_id, injected_at, times_injected, seen_at, acknowledged_at)
select x.message_id, x.agent_id, x.injected_at, x.times_injected, x.seen_at, x.acknowledged_at
from unnest(
    :message_id::uuid[], :agent_id::text[], :injected_at::timestamptz[], :times_injected::integer[],
    :seen_at::timestamptz[], :acknowledged_at::timestamptz[]
) as x (
    message_id, agent_id, injected_at, times_injected, seen_at, acknowledged_at
)
on conflict (message_id, agent_id) do update set
    injected_at = excluded.injected_at, times_injected = excluded.times_injected, seen_at = excluded.seen_at,
    acknowledged_at = excluded.acknowledged_at

-- name: own_actions
update actions set subtask_id = x.subtask_id
from unnest(:id::uuid[], :subtask_id::uuid[]) as x (id, subtask_id) where actions.id = x.id

-- The lock of whoever writes what the scorer learned: one node at a time.
-- name: lock_routing_watermark
select epoch, seq from routing_watermark for update

-- name: write_scores
insert into keyword_tool_scores (keyword, tool_name, tool_type, score, usage_count, success_count, last_used)
select keyword, tool_name, tool_type, score, usage_count, success_count, last_used from unnest(
    :keyword::text[], :tool_name::text[], :tool_type::text[], :score::float8[], :usage_count::integer[],
    :success_count::integer[], :last_used::timestamptz[]
) as x (keyword, tool_name, tool_type, score, usage_count, success_count, last_used)
on conflict (keyword, tool_name) do update set
    tool_type = excluded.tool_type, score = excluded.score, usage_count = excluded.usage_count,
    success_count = excluded.success_count, last_used = excluded.last_used

-- name: insert_lessons
insert into routing_lessons (said, tool_name, tool_type, outcome, created_at)
select said, tool_name, tool_type, outcome, created_at from unnest(
    :said::text[], :tool_name::text[], :tool_type::text[], :outcome::integer[], :created_at::timestamptz[]
) with ordinality as x (said, tool_name, tool_type, outcome, created_at, place)
order by place

-- Takes the head of the log, the last lock that a batch takes; COMMIT follows in the same round trip, so positions are
-- given out in the order in which they become visible. A promoted standby writes in another timeline: its positions are
-- of a new epoch. One statement, because each costs as much as several rows.
-- Fails when the attempt was given up. As what is `alone` it is a whole transaction: it sets what each is set to, expects
-- that nobody is at work, inserts the messages (as insert_messages does) and tells other nodes (as wake_others does).
-- Messages are written first, because nobody may wait for anything who holds the head of the log.
-- name: insert_events
with
settled as materialized ( --? alone
    select set_config('synchronous_commit', :level, true) as level --? alone
        , 1 / nobody_at_work(:agents)::integer as is_expected --? alone agents
), --? alone
messages as ( --? alone id
    insert into agent_messages ( --? alone id
        id, project_id, from_agent_id, to_agent_id, message_type, topic, payload, priority, created_at, --? alone id
        expires_at --? alone id
    ) --? alone id
    select --? alone id
        unnest(:id::uuid[]), unnest(:project_id::uuid[]), unnest(:from_agent_id::text[]), --? alone id
        unnest(:to_agent_id::text[]), unnest(:message_type::text[]), unnest(:topic::text[]), --? alone id
        unnest(:payload::jsonb[]), unnest(:priority::integer[]), unnest(:created_at::timestamptz[]), --? alone id
        unnest(:expires_at::timestamptz[]) --? alone id
    from settled --? alone id
    where is_expected = 1 --? alone id agents
    returning 1 --? alone id
), --? alone id
head as (
    update event_log_head set seq = seq + :count::bigint,
        epoch = case when event_log_head.timeline = before.timeline then epoch else epoch + 1 end,
        epochs = case when event_log_head.timeline = before.timeline then epochs
            else epochs || jsonb_build_array(jsonb_build_array(epoch + 1, seq + 1)) end,
        timeline = before.timeline
    from (
        select substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8) as timeline
            , level --? alone
            , (select count(*) from messages) as messages --? alone id
        from settled --? alone
        where is_expected = 1 --? alone agents
    ) as before
    where not :attempt::bigint = any(given_up)
        and before.level is not null --? alone
        and before.messages >= 0 --? alone id
    returning event_log_head.seq, event_log_head.epoch
), written as (
    insert into events (seq, id, name, created_at, channels, data, summary)
    select head.seq + x.place, x.id, x.name, x.happened_at, x.channels::text[], x.data, x.summary
    from head, (
        select unnest(:place::bigint[]) as place, unnest(:event_id::uuid[]) as id, unnest(:name::text[]) as name,
            unnest(:happened_at::timestamptz[]) as happened_at, unnest(:channels::text[]) as channels,
            unnest(:data::json[]) as data, unnest(:summary::json[]) as summary
    ) as x
)
select head.seq, head.epoch, 1 / updated.heads
    , pg_notify('dcm_log', :node) --? alone node
from (select count(*) as heads from head) as updated left join head on true

-- name: find_old_actions
select a.id, s.id, a.created_at from actions a left join sessions s on s.id = a.session_id
where a.id in (select id from actions where recorded_at < :before limit :limit)

-- name: mark_removed_actions
insert into removed_actions (session_id, newest)
select x.session_id, x.newest from unnest(:session_id::text[], :newest::timestamptz[]) as x (session_id, newest)
on conflict (session_id) do update set newest = greatest(removed_actions.newest, excluded.newest)

-- name: find_surplus_actions
select a.id, s.id, a.created_at from actions a left join sessions s on s.id = a.session_id
where a.id in (
    select id from actions order by recorded_at limit (
        select case when count(*) <= :most then 0 when count(*) - :most > :limit then :limit else count(*) - :most end
        from actions
    )
)
