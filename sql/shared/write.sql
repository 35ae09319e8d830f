-- What a batch of commands removes. Everything below a removed row goes with it by foreign keys.

-- name: delete_projects
delete from projects where id in (:ids*)

-- name: delete_sessions
delete from sessions where id in (:ids*)

-- name: delete_requests
delete from requests where id in (:ids*)

-- name: delete_tasks
delete from task_lists where id in (:ids*)

-- name: delete_subtasks
delete from subtasks where id in (:ids*)

-- name: delete_actions
delete from actions where id in (:ids*)

-- name: delete_actions_of_sessions
delete from actions where session_id in (:ids*) and session_id is not null

-- name: delete_messages
delete from agent_messages where id in (:ids*)

-- name: delete_subscriptions
delete from subscriptions where id in (:ids*)

-- name: delete_blockings
delete from blocked_agents where id in (:ids*)

-- Retention: what was recorded before the limits goes, oldest first, a bounded number at a time.

-- name: count_events
select count(*), coalesce(max(seq), 0) from events

-- The end of what is old among the first: clocks of nodes differ, positions do not, and what is fresh stays.
-- name: expired_events_end
select coalesce(min(case when created_at >= :before then seq - 1 end), max(seq), 0) from (
    select seq, created_at from events order by seq limit :limit
) as oldest

-- name: delete_events
delete from events where seq <= :last returning seq

-- name: move_first_seq
update event_log_head set first_seq = :last + 1 where first_seq <= :last

-- name: delete_old_outcomes
delete from idempotency_keys where idempotency_key in (
    select idempotency_key from idempotency_keys where created_at < :before limit :limit
) returning idempotency_key

-- name: take_lease
insert into leases (name, holder, expires_at) values (:name, :holder, :expires_at)
on conflict (name) do update set holder = excluded.holder, expires_at = excluded.expires_at
where leases.holder = excluded.holder or leases.expires_at < :now
returning holder

-- name: make_setting
insert into settings (name, value) values (:name, :value) on conflict (name) do nothing

-- name: keep_setting
insert into settings (name, value) values (:name, :value) on conflict (name) do update set value = excluded.value

-- name: get_setting
select value from settings where name = :name
