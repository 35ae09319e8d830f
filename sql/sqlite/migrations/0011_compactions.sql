-- Whose context was compacted: a sub-agent's id, or nothing for the session's main agent. Each agent has its own summary
-- and its own snapshots.
alter table compactions add column agent_id text not null default '';
update compactions set agent_id = metadata ->> 'agent_id'
    where agent_id = '' and metadata ->> 'agent_id' <> session_id
        -- Clients may have written anything there; what is longer than a name may be is none.
        and length(metadata ->> 'agent_id') between 1 and 255;
drop index if exists compactions_recent;
create index compactions_agent on compactions (session_id, agent_id, created_at desc);
create index compactions_session on compactions (session_id, created_at desc);

-- What ended last is what ended last, not what began last.
create index subtasks_ended on subtasks (session_id, status, completed_at desc)
    where status in ('completed', 'failed');

-- What is to be done, but for what belongs to a request that was called off.
create view open_work as
    select s.id, s.session_id, s.agent_id, s.agent_type, s.status, s.created_at from subtasks s
    where s.status in ('running', 'blocked', 'paused', 'pending') and not exists (
        select 1 from task_lists t join requests r on r.id = t.request_id
        where t.id = s.task_list_id and r.status = 'cancelled'
    );
create index blocked_agents_recent on blocked_agents (created_at desc);
