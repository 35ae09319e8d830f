-- The log, read. The head and the events of one answer are of one snapshot, so a reader that goes on from what it read
-- passes over nothing.

-- name: log_head
select seq, first_seq, epoch, epochs from event_log_head

-- name: log_page
select seq, id, name, created_at, channels, data, summary from events where seq > :after order by seq limit :limit

-- name: agent_channels
select channel, epoch, seq, sent_seq, acknowledges, holder from agent_channels where agent_id = :agent_id
order by channel
