-- Whether a session was closed because nothing was heard of it for long, which whoever works in it again takes back.
alter table sessions add column ended_by_cleanup integer not null default 0;

-- When the newest action of a session was made that retention has removed: what is as old as that is not recorded again.
create table removed_actions (
    session_id text primary key not null references sessions (id) on delete cascade,
    newest integer not null
) strict, without rowid;
