-- What the scorer knows, as it is read at start and written aside.

-- name: routing_watermark
select epoch, seq from routing_watermark

-- name: routing_scores
select keyword, tool_name, tool_type, score, usage_count, success_count, last_used from keyword_tool_scores
order by last_used desc, keyword, tool_name limit :limit

-- name: routing_seeds
select keyword, tool_name, tool_type, score, usage_count, success_count, last_used from routing_seeds
order by keyword, tool_name limit :limit

-- name: routing_lessons
select said, tool_name, tool_type, outcome, created_at from routing_lessons order by id

-- name: move_routing_watermark
update routing_watermark set epoch = :epoch, seq = :seq

-- name: forget_lessons
delete from routing_lessons where id <= (select max(id) from routing_lessons) - :most
