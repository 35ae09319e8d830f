-- Whether a session was closed because nothing was heard of it for long, which whoever works in it again takes back.
alter table sessions add column if not exists ended_by_cleanup boolean not null default false;

-- When the newest action of a session was made that retention has removed: what is as old as that is not recorded again.
create table if not exists removed_actions (
    session_id text primary key references sessions (id) on delete cascade,
    newest timestamptz not null
);
