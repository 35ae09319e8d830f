-- What the scorer learned is written aside, from the event log. Up to this place of the log it is written.
create table if not exists routing_watermark (
    only_row integer primary key check (only_row = 1),
    epoch bigint not null,
    seq bigint not null
) with (fillfactor = 10);
insert into routing_watermark (only_row, epoch, seq) select 1, epoch, seq from event_log_head on conflict do nothing;

-- What was said, which tool served it, and how that went: 0 failed, 1 succeeded, 2 rejected, 3 chosen. The evidence of
-- the scorer is made from these at start, so it outlives the actions.
create table if not exists routing_lessons (
    id bigint generated always as identity primary key,
    said text not null,
    tool_name text not null,
    tool_type text,
    outcome integer not null,
    created_at timestamptz not null
);

-- Scores from before there were lessons: evidence of single words.
create table if not exists routing_seeds (
    keyword text not null,
    tool_name text not null,
    tool_type text not null,
    score double precision not null,
    usage_count integer not null,
    success_count integer not null,
    last_used timestamptz not null,
    primary key (keyword, tool_name)
);
insert into routing_seeds
select keyword, tool_name, tool_type, score, usage_count, success_count, last_used from keyword_tool_scores
on conflict do nothing;
