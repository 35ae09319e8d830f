-- Attempts to commit a batch that somebody has looked for in vain, and when that was last; what of them is still on its way
-- must not happen. They stand beside the head of the log because whoever writes to the log waits for that row, and then
-- sees it as it is. (The program before this one keeps its own in `given_up_attempts`, which nothing else uses.)
alter table event_log_head add column if not exists given_up bigint[] not null default '{}';
alter table event_log_head add column if not exists given_up_at timestamptz;

-- Whether no agent of one of these types is at work. Its plan is made once for each connection, maybe while there are few
-- subtasks; they grow in number afterwards, and the plan stays, so it never reads them all.
create or replace function nobody_at_work(types text[]) returns boolean
language plpgsql stable set enable_seqscan = off set plan_cache_mode = force_generic_plan as $$
begin
    return not exists (select 1 from agents_at_work where agent_type = any(types));
end
$$;
