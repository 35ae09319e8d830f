-- What the scorer learned is written aside, from the event log. Up to this place of the log it is written.
create table routing_watermark (
    only_row integer primary key not null check (only_row = 1),
    epoch integer not null,
    seq integer not null
) strict;
insert into routing_watermark (only_row, epoch, seq) select 1, epoch, seq from event_log_head;

-- What was said, which tool served it, and how that went: 0 failed, 1 succeeded, 2 rejected, 3 chosen. The evidence of
-- the scorer is made from these at start, so it outlives the actions.
create table routing_lessons (
    id integer primary key not null,
    said text not null,
    tool_name text not null,
    tool_type text,
    outcome integer not null,
    created_at integer not null
) strict;

-- Scores from before there were lessons: evidence of single words.
create table routing_seeds (
    keyword text not null,
    tool_name text not null,
    tool_type text not null,
    score real not null,
    usage_count integer not null,
    success_count integer not null,
    last_used integer not null,
    primary key (keyword, tool_name)
) strict, without rowid;
insert into routing_seeds
select keyword, tool_name, tool_type, score, usage_count, success_count, last_used from keyword_tool_scores;
