-- Whether agents of some types are at work is asked with every batch of messages; many others may be at work meanwhile.
create index if not exists subtasks_at_work on subtasks (agent_type) where status in ('running', 'paused', 'blocked');
