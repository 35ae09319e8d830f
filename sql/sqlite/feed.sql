-- name: log_page_of
select seq, id, name, created_at, channels, data, summary from events
where seq > :after and seq <= (select max(first_seq - 1, :after) from event_log_head) + :span
    and exists (select 1 from json_each(events.channels) as one where one.value in (:channels*))
order by seq limit :limit

-- name: log_page_named
select seq, id, name, created_at, channels, data, summary from events
where seq > :after and seq <= (select max(first_seq - 1, :after) from event_log_head) + :span
    and name in (:names*)
order by seq limit :limit

-- What was read from a store that was restored from a backup is of another log from the next position on.
-- name: raise_epoch
update event_log_head set epoch = epoch + 1, epochs = json_insert(epochs, '$[#]', json_array(epoch + 1, seq + 1))
where epoch = :epoch

-- name: remove_agent_channels
delete from agent_channels where agent_id = :agent_id and channel = :channel

-- Positions only move forward, whoever writes first; but an agent that begins to acknowledge has got only what it has
-- acknowledged, and not all that was written to its connection.
-- name: make_agent_channels
insert into agent_channels (agent_id, channel, epoch, seq, sent_seq, acknowledges, holder, updated_at)
values (:agent_id, :channel, :epoch, :seq, :sent_seq, :acknowledges, :take, :updated_at)
on conflict (agent_id, channel) do update set
    seq = case when (excluded.epoch, excluded.seq) > (epoch, seq)
        or (excluded.epoch = epoch and excluded.acknowledges > acknowledges) then excluded.seq else seq end,
    sent_seq = case when excluded.epoch > epoch then excluded.sent_seq else max(sent_seq, excluded.sent_seq) end,
    epoch = max(epoch, excluded.epoch), acknowledges = max(acknowledges, excluded.acknowledges),
    holder = coalesce(excluded.holder, holder), updated_at = excluded.updated_at

-- name: move_agent_channels
update agent_channels set
    seq = case when (:epoch, :seq) > (epoch, seq) or (:epoch = epoch and :acknowledges > acknowledges) then :seq
        else seq end,
    sent_seq = case when :epoch > epoch then :sent_seq else max(sent_seq, :sent_seq) end,
    epoch = max(epoch, :epoch), acknowledges = max(acknowledges, :acknowledges),
    holder = coalesce(:take, nullif(holder, :release)), updated_at = :updated_at
where agent_id = :agent_id and channel = :channel

-- name: metrics
select
    (select count(*) from sessions where ended_at is null and last_seen_at >= :seen),
    (select count(distinct s.agent_id) from subtasks s
        join task_lists t on t.id = s.task_list_id join requests r on r.id = t.request_id
        join sessions x on x.id = r.session_id
        where s.status = 'running' and x.ended_at is null and x.last_seen_at >= :seen),
    t.pending, t.running, t.completed,
    (select count(*) from agent_messages where created_at >= :hour),
    (select count(*) from actions where created_at >= :minutes),
    t.duration
from (
    select count(*) filter (where status = 'pending') as pending, count(*) filter (where status = 'running') as running,
        count(*) filter (where status = 'completed' and completed_at >= :hour) as completed,
        avg(completed_at - created_at) filter (where status = 'completed') / 1000.0 as duration
    from task_lists
) as t
