-- Whether a session was closed because nothing was heard of it for long, which whoever works in it again takes back.
alter table sessions add column ended_by_cleanup integer not null default 0;
