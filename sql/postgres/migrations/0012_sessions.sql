-- Who was heard of last is asked of open sessions, which are few; an index by that time would be written with every event,
-- and every other index with it. With room on its page, a row whose indexed columns stay is changed in place.
drop index if exists sessions_open;
create index if not exists sessions_open on sessions (started_at) where ended_at is null;
alter table sessions set (fillfactor = 70);
