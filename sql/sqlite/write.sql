-- Bulk writes: run once for every row.

-- name: write_projects
insert into projects (
    id, path, name, created_at, updated_at, metadata
) values (
    :id, :path, :name, :created_at, :updated_at, :metadata
)
on conflict (id) do update set
    name = excluded.name, created_at = excluded.created_at,
    updated_at = excluded.updated_at, metadata = excluded.metadata

-- name: write_sessions
insert into sessions (
    id, project_id, started_at, ended_at, total_tools_used, total_success, total_errors, created_automatically,
    last_seen_at, ended_by_cleanup
) values (
    :id, :project_id, :started_at, :ended_at, :total_tools_used, :total_success, :total_errors,
    :created_automatically, :last_seen_at, :ended_by_cleanup
)
on conflict (id) do update set
    project_id = excluded.project_id, started_at = excluded.started_at, ended_at = excluded.ended_at,
    total_tools_used = excluded.total_tools_used, total_success = excluded.total_success,
    total_errors = excluded.total_errors, created_automatically = excluded.created_automatically,
    last_seen_at = excluded.last_seen_at, ended_by_cleanup = excluded.ended_by_cleanup

-- SQLite writes every index that has a column in SET, changed or not; here there is none.
-- name: touch_sessions
update sessions set
    total_tools_used = :total_tools_used, total_success = :total_success, total_errors = :total_errors,
    created_automatically = :created_automatically, last_seen_at = :last_seen_at,
    ended_by_cleanup = :ended_by_cleanup
where id = :id

-- name: write_requests
insert into requests (
    id, project_id, session_id, prompt, prompt_type, status, created_at, completed_at, metadata, external_key
) values (
    :id, :project_id, :session_id, :prompt, :prompt_type, :status, :created_at, :completed_at, :metadata,
    :external_key
)
on conflict (id) do update set
    project_id = excluded.project_id, session_id = excluded.session_id, prompt = excluded.prompt,
    prompt_type = excluded.prompt_type, status = excluded.status, created_at = excluded.created_at,
    completed_at = excluded.completed_at, metadata = excluded.metadata, external_key = excluded.external_key

-- name: write_tasks
insert into task_lists (
    id, request_id, name, wave_number, status, created_at, completed_at
) values (
    :id, :request_id, :name, :wave_number, :status, :created_at, :completed_at
)
on conflict (id) do update set
    request_id = excluded.request_id, name = excluded.name, wave_number = excluded.wave_number,
    status = excluded.status, created_at = excluded.created_at, completed_at = excluded.completed_at

-- name: write_subtasks
insert into subtasks (
    id, task_list_id, agent_type, agent_id, description, status, blocked_by, created_at, started_at,
    completed_at, context_snapshot, result, external_key, session_id
) values (
    :id, :task_list_id, :agent_type, :agent_id, :description, :status, :blocked_by, :created_at, :started_at,
    :completed_at, :context_snapshot, :result, :external_key, :session_id
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
) values (
    :id, :agent_id, :topic, :callback_url, :created_at, :updated_at
)
on conflict (id) do update set
    agent_id = excluded.agent_id, topic = excluded.topic, callback_url = excluded.callback_url,
    created_at = excluded.created_at, updated_at = excluded.updated_at

-- name: write_blockings
insert into blocked_agents (
    id, blocked_by, blocked_agent, reason, created_at
) values (
    :id, :blocked_by, :blocked_agent, :reason, :created_at
)
on conflict (id) do update set
    blocked_by = excluded.blocked_by, blocked_agent = excluded.blocked_agent, reason = excluded.reason,
    created_at = excluded.created_at

-- name: write_compactions
insert into compactions (
    id, session_id, external_key, compaction_trigger, summary, metadata, created_at, snapshot, agent_id
) values (
    :id, :session_id, :external_key, :compaction_trigger, :summary, :metadata, :created_at, :snapshot, :agent_id
)
on conflict (id) do update set
    session_id = excluded.session_id, external_key = excluded.external_key,
    compaction_trigger = excluded.compaction_trigger, summary = excluded.summary, metadata = excluded.metadata,
    created_at = excluded.created_at, snapshot = excluded.snapshot, agent_id = excluded.agent_id

-- name: write_agent_contexts
insert into agent_contexts (
    id, project_id, session_id, subtask_id, agent_id, agent_type, role_context, progress_summary, status,
    started_at, completed_at, last_updated, tools_used
) values (
    :id, :project_id, :session_id, :subtask_id, :agent_id, :agent_type, :role_context, :progress_summary, :status,
    :started_at, :completed_at, :last_updated,
    (select json_group_array(t.tool_name) from (
        select distinct a.tool_name from actions a where a.subtask_id = :subtask_id order by a.tool_name
    ) as t)
)
on conflict (id) do update set
    project_id = excluded.project_id, subtask_id = excluded.subtask_id, agent_type = excluded.agent_type,
    role_context = excluded.role_context, progress_summary = excluded.progress_summary, status = excluded.status,
    started_at = excluded.started_at, completed_at = excluded.completed_at, last_updated = excluded.last_updated,
    tools_used = excluded.tools_used
where excluded.last_updated >= agent_contexts.last_updated

-- name: insert_actions
insert into actions (
    id, subtask_id, session_id, tool_use_id, tool_name, tool_type, input, output, file_paths, exit_code,
    duration_ms, created_at, recorded_at, metadata
) values (
    :id, :subtask_id, :session_id, :tool_use_id, :tool_name, :tool_type, :input, :output, :file_paths,
    :exit_code, :duration_ms, :created_at, :recorded_at, :metadata
)

-- name: mend_failures
delete from open_failures where session_id = :session_id and subject = :subject and failed_at <= :mended_at

-- name: note_failures
insert into open_failures (
    session_id, subject, action_id, tool_name, attempt, detail, exit_code, times, failed_at
) values (
    :session_id, :subject, :action_id, :tool_name, :attempt, :detail, :exit_code, :times, :failed_at
)
on conflict (session_id, subject) do update set
    action_id = excluded.action_id, tool_name = excluded.tool_name, attempt = excluded.attempt,
    detail = excluded.detail, exit_code = excluded.exit_code, times = times + excluded.times,
    failed_at = excluded.failed_at
where excluded.failed_at >= open_failures.failed_at

-- name: insert_messages
insert into agent_messages (
    id, project_id, from_agent_id, to_agent_id, message_type, topic, payload, priority, created_at, expires_at
) values (
    :id, :project_id, :from_agent_id, :to_agent_id, :message_type, :topic, :payload, :priority, :created_at,
    :expires_at
)

-- name: insert_message_reads
insert into message_reads (
    message_id, agent_id, read_at
) values (
    :message_id, :agent_id, :read_at
)
on conflict do nothing

-- name: insert_idempotency
insert into idempotency_keys (
    idempotency_key, fingerprint, outcome, created_at
) values (
    :idempotency_key, :fingerprint, :outcome, :created_at
)

-- name: answer_actions
update actions set exit_code = :exit_code, output = :output, duration_ms = :duration_ms where id = :id

-- name: write_hook_states
insert into hook_states (session_id, state, updated_at) values (:session_id, :state, :updated_at)
on conflict (session_id) do update set state = excluded.state, updated_at = excluded.updated_at

-- name: write_receipts
insert into message_receipts (message_id, agent_id, injected_at, times_injected, seen_at, acknowledged_at)
values (:message_id, :agent_id, :injected_at, :times_injected, :seen_at, :acknowledged_at)
on conflict (message_id, agent_id) do update set
    injected_at = excluded.injected_at, times_injected = excluded.times_injected, seen_at = excluded.seen_at,
    acknowledged_at = excluded.acknowledged_at

-- name: own_actions
update actions set subtask_id = :subtask_id where id = :id

-- name: lock_routing_watermark
select epoch, seq from routing_watermark

-- name: write_scores
insert into keyword_tool_scores (keyword, tool_name, tool_type, score, usage_count, success_count, last_used)
values (:keyword, :tool_name, :tool_type, :score, :usage_count, :success_count, :last_used)
on conflict (keyword, tool_name) do update set
    tool_type = excluded.tool_type, score = excluded.score, usage_count = excluded.usage_count,
    success_count = excluded.success_count, last_used = excluded.last_used

-- name: insert_lessons
insert into routing_lessons (said, tool_name, tool_type, outcome, created_at)
values (:said, :tool_name, :tool_type, :outcome, :created_at)

-- name: advance_log
update event_log_head set seq = seq + :count returning seq, epoch

-- name: insert_events
insert into events (seq, id, name, created_at, channels, data, summary)
values ((select seq from event_log_head) + :place, :event_id, :name, :happened_at, :channels, :data, :summary)

-- Rows lie in the order in which they were recorded, so the oldest are found without an index.
-- name: find_old_actions
select a.id, s.id, a.created_at from actions a left join sessions s on s.id = a.session_id
where a.rowid in (
    select rowid from (select rowid, recorded_at from actions order by rowid limit :limit) where recorded_at < :before
)

-- name: mark_removed_actions
insert into removed_actions (session_id, newest) values (:session_id, :newest)
on conflict (session_id) do update set newest = max(removed_actions.newest, excluded.newest)

-- name: find_surplus_actions
select a.id, s.id, a.created_at from actions a left join sessions s on s.id = a.session_id
where a.rowid in (
    select rowid from actions order by rowid limit (
        select case when count(*) <= :most then 0 when count(*) - :most > :limit then :limit else count(*) - :most end
        from actions
    )
)
