-- Where each epoch of the log began, as [epoch, first position]: a reader of an earlier epoch has read nothing that was
-- lost as long as it stands before that.
alter table event_log_head add column if not exists epochs jsonb not null default '[]';

-- What agents listen to, and how far each of them has got on each channel.
create table if not exists agent_channels (
    agent_id text not null,
    channel text not null,
    -- Everything up to here is delivered.
    epoch bigint not null,
    seq bigint not null,
    -- Up to here it was sent, acknowledged or not.
    sent_seq bigint not null,
    -- Whether the agent acknowledges what it gets.
    acknowledges boolean not null,
    -- The connection that is open; when a node dies, it stays here, and nobody knows how far that connection got.
    holder text,
    updated_at timestamptz not null,
    primary key (agent_id, channel)
) with (fillfactor = 70);
create index if not exists agent_channels_updated on agent_channels (updated_at);

-- Whether anything was ever heard of an agent that only reads its mail.
create index if not exists message_reads_agent on message_reads (agent_id);
