-- Whose context was compacted: a sub-agent's id, or nothing for the session's main agent. Each agent has its own summary
-- and its own snapshots.
alter table compactions add column if not exists agent_id text not null default '';
update compactions set agent_id = metadata ->> 'agent_id'
    where agent_id = '' and metadata ->> 'agent_id' <> session_id
        -- Clients may have written anything there; what is longer than a name may be is none.
        and length(metadata ->> 'agent_id') between 1 and 255;
drop index if exists compactions_recent;
create index if not exists compactions_agent on compactions (session_id, agent_id, created_at desc);
create index if not exists compactions_session on compactions (session_id, created_at desc);

-- What ended last is what ended last, not what began last.
create index if not exists subtasks_ended on subtasks (session_id, status, completed_at desc nulls last)
    where status in ('completed', 'failed');

-- What is to be done, but for what belongs to a request that was called off.
create or replace view open_work as
    select s.id, s.session_id, s.agent_id, s.agent_type, s.status, s.created_at from subtasks s
    where s.status in ('running', 'blocked', 'paused', 'pending') and not exists (
        select 1 from task_lists t join requests r on r.id = t.request_id
        where t.id = s.task_list_id and r.status = 'cancelled'
    );
create index if not exists blocked_agents_recent on blocked_agents (created_at desc);
