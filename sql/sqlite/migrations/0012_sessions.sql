-- Who was heard of last is asked of open sessions, which are few; an index by that time would be written with every event.
drop index sessions_open;
create index sessions_open on sessions (started_at) where ended_at is null;
