-- name: log_page_of
select seq, id, name, created_at, channels, data, summary from events
where seq > :after and seq <= (select greatest(first_seq - 1, :after) from event_log_head) + :span::bigint
    and channels && :channels::text[]
order by seq limit :limit

-- name: log_page_named
select seq, id, name, created_at, channels, data, summary from events
where seq > :after and seq <= (select greatest(first_seq - 1, :after) from event_log_head) + :span::bigint
    and name in (:names*)
order by seq limit :limit

-- Other nodes look into the log when they hear this. It says who speaks, and nothing of what was written: the rows are
-- the truth.
-- name: wake_others
select pg_notify('dcm_log', :node)

-- What was read from a store that was restored from a backup is of another log from the next position on.
-- name: raise_epoch
update event_log_head set epoch = epoch + 1,
    epochs = epochs || jsonb_build_array(jsonb_build_array(epoch + 1, seq + 1)),
    timeline = substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8)
where epoch = :epoch

-- name: remove_agent_channels
delete from agent_channels a using unnest(:agent_id::text[], :channel::text[]) as x (agent_id, channel)
where a.agent_id = x.agent_id and a.channel = x.channel

-- Positions only move forward, whichever node writes first; but an agent that begins to acknowledge has got only what it
-- has acknowledged, and not all that was written to its connection.
-- name: make_agent_channels
insert into agent_channels as a (agent_id, channel, epoch, seq, sent_seq, acknowledges, holder, updated_at)
select x.agent_id, x.channel, x.epoch, x.seq, x.sent_seq, x.acknowledges, x.take, x.updated_at
from unnest(
    :agent_id::text[], :channel::text[], :epoch::bigint[], :seq::bigint[], :sent_seq::bigint[],
    :acknowledges::boolean[], :take::text[], :release::text[], :updated_at::timestamptz[]
) as x (agent_id, channel, epoch, seq, sent_seq, acknowledges, take, release, updated_at)
order by x.agent_id, x.channel
on conflict (agent_id, channel) do update set
    seq = case when (excluded.epoch, excluded.seq) > (a.epoch, a.seq)
        or (excluded.epoch = a.epoch and excluded.acknowledges and not a.acknowledges) then excluded.seq else a.seq end,
    sent_seq = case when excluded.epoch > a.epoch then excluded.sent_seq else greatest(a.sent_seq, excluded.sent_seq) end,
    epoch = greatest(a.epoch, excluded.epoch), acknowledges = a.acknowledges or excluded.acknowledges,
    holder = coalesce(excluded.holder, a.holder), updated_at = excluded.updated_at

-- name: move_agent_channels
update agent_channels a set
    seq = case when (x.epoch, x.seq) > (a.epoch, a.seq)
        or (x.epoch = a.epoch and x.acknowledges and not a.acknowledges) then x.seq else a.seq end,
    sent_seq = case when x.epoch > a.epoch then x.sent_seq else greatest(a.sent_seq, x.sent_seq) end,
    epoch = greatest(a.epoch, x.epoch), acknowledges = a.acknowledges or x.acknowledges,
    holder = coalesce(x.take, nullif(a.holder, x.release)), updated_at = x.updated_at
from (
    select y.*, l.agent_id as locked from unnest(
        :agent_id::text[], :channel::text[], :epoch::bigint[], :seq::bigint[], :sent_seq::bigint[],
        :acknowledges::boolean[], :take::text[], :release::text[], :updated_at::timestamptz[]
    ) as y (agent_id, channel, epoch, seq, sent_seq, acknowledges, take, release, updated_at)
    join agent_channels l on l.agent_id = y.agent_id and l.channel = y.channel
    order by l.agent_id, l.channel for update of l
) as x
where a.agent_id = x.agent_id and a.channel = x.channel

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
        (extract(epoch from avg(completed_at - created_at) filter (where status = 'completed')) * 1000)::float8 as duration
    from task_lists
) as t
