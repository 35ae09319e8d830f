-- Whose context was compacted: a sub-agent's id, or nothing for the session's main agent. Each agent has its own summary
-- and its own snapshots.
alter table compactions add column agent_id text not null default '';
update compactions set agent_id = metadata ->> 'agent_id'
    where agent_id = '' and metadata ->> 'agent_id' is not null and metadata ->> 'agent_id' <> session_id;
drop index if exists compactions_recent;
create index compactions_agent on compactions (session_id, agent_id, created_at desc);
create index compactions_session on compactions (session_id, created_at desc);

-- What ended last is what ended last, not what began last.
create index subtasks_ended on subtasks (session_id, status, completed_at desc)
    where status in ('completed', 'failed');
