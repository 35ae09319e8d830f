-- What a brief is compiled from, in one statement: on PostgreSQL every further one costs as much again. The first
-- column says of what kind a row is; what the others hold depends on it, see `dcm/src/storage/sql/brief.rs`. Every part
-- reads a bounded number of rows by an index, however long the session is. Where several parts choose rows of one
-- table, they choose ids, and the rows are read once: what a part costs grows with its columns. Of each list one row more
-- is read than is wanted, so that it is known whether there are more.
-- name: brief
with place as materialized (
    select coalesce(
        :project_id, --? project_id
        (select r.project_id from requests r
            where r.session_id = :session_id order by r.created_at desc, r.id desc limit 1),
        (select s.project_id from sessions s where s.id = :session_id)
    ) as project_id
), kind as materialized (
    -- What kind of agent it is: as the caller says, else as it was last recorded here, else as its name suggests.
    select coalesce(
        :given_type, --? given_type
        (select s.agent_type from subtasks s
            where s.agent_id = :agent and s.session_id = :session_id and s.agent_type is not null
            order by s.created_at desc, s.id desc limit 1),
        cast(:assumed_type as text)
    ) as agent_type
), chosen_work as materialized (
    select * from (
        select s.id from open_work s
        where s.agent_id = :agent and s.session_id = :session_id
        order by case s.status when 'running' then 1 when 'blocked' then 2 when 'paused' then 3 else 4 end,
            s.created_at, s.id limit :many
    ) as own_open
    -- What waits for an agent of its name or kind; and for the main agent, what nobody is named for: its own list of tasks.
    union select * from (
        select s.id from open_work s
        where s.session_id = :session_id and s.agent_id is null and s.agent_type = :agent
        order by s.created_at, s.id limit :many
    ) as by_name
    union select * from (
        select s.id from open_work s
        where s.session_id = :session_id and s.agent_id is null and s.agent_type = (select k.agent_type from kind k)
        order by s.created_at, s.id limit :many
    ) as by_kind
    union select * from (
        select s.id from open_work s
        where s.session_id = :session_id and s.agent_id is null and s.agent_type is null and :agent = :session_id
        order by s.created_at, s.id limit :many
    ) as by_nobody
    union select * from (
        select s.id from subtasks s
        where s.agent_id = :agent and s.session_id = :session_id
            -- So that the index by agent is used: it has fewer rows.
            and coalesce(s.status, '') in ('completed', 'failed')
        order by s.completed_at desc nulls last, s.id desc limit :many
    ) as own_ended
    -- That of others.
    union select * from (
        select s.id from open_work s where s.session_id = :session_id and s.status = 'running'
            and (s.agent_id is null or s.agent_id <> :agent)
        order by s.created_at, s.id limit :many
    ) as running
    union select * from (
        select s.id from open_work s where s.session_id = :session_id and s.status = 'blocked'
            and (s.agent_id is null or s.agent_id <> :agent)
        order by s.created_at, s.id limit :many
    ) as blocked
    union select * from (
        select s.id from open_work s where s.session_id = :session_id and s.status = 'paused'
            and (s.agent_id is null or s.agent_id <> :agent)
        order by s.created_at, s.id limit :many
    ) as paused
    union select * from (
        select s.id from open_work s where s.session_id = :session_id and s.status = 'pending'
            and (s.agent_id is null or s.agent_id <> :agent)
        order by s.created_at, s.id limit :many
    ) as pending
    -- (Said twice, so that SQLite sees that the index of what has ended holds them.)
    union select * from (
        select s.id from subtasks s where s.session_id = :session_id and s.status = 'failed' and s.status in ('completed', 'failed')
            and (s.agent_id is null or s.agent_id <> :agent)
        order by s.completed_at desc nulls last, s.id desc limit :many
    ) as failed
    union select * from (
        select s.id from subtasks s where s.session_id = :session_id and s.status = 'completed' and s.status in ('completed', 'failed')
            and (s.agent_id <> :agent and s.agent_id <> :session_id
                or s.agent_id is null and (s.agent_type is not null or s.result is not null))
        order by s.completed_at desc nulls last, s.id desc limit :many
    ) as completed
), near_blockings as materialized (
    -- With the other agent of each, and the most telling ones first.
    select * from (
        select 1 as place, b.id, b.blocked_by as other, b.created_at from blocked_agents b
        where b.blocked_agent = :agent order by b.created_at desc, b.id desc limit 500
    ) as of_agent
    union select * from (
        select 2, b.id, b.blocked_agent, b.created_at from blocked_agents b
        where b.blocked_by = :agent order by b.created_at desc, b.id desc limit 500
    ) as by_agent
    union select * from (
        select 3, b.id, b.blocked_by, b.created_at from blocked_agents b
        where b.blocked_by <> :agent and b.blocked_agent <> :agent and b.blocked_agent in (
            select s.agent_id from open_work s where s.session_id = :session_id
        )
        order by b.created_at desc, b.id desc limit 500
    ) as of_session
    -- Of the newest of all those of agents that had work here.
    union select * from (
        select 3, b.id, b.blocked_by, b.created_at from (
            select n.id, n.blocked_by, n.blocked_agent, n.created_at from blocked_agents n
            order by n.created_at desc, n.id desc limit 200
        ) as b
        where b.blocked_by <> :agent and b.blocked_agent <> :agent and exists (
            select 1 from subtasks s where s.agent_id = b.blocked_agent and s.session_id = :session_id
        )
    ) as of_former
), chosen_blockings as materialized (
    select b.id from near_blockings b
    -- A blocking names no project. Where the other agent was at work in other places only, it is one of theirs.
    where exists (select 1 from subtasks s where s.agent_id = b.other and s.session_id = :session_id)
        or exists (select 1 from agent_contexts k
            where k.project_id = (select p.project_id from place p) and k.agent_id = b.other)
        or not exists (select 1 from subtasks s where s.agent_id = b.other)
    order by b.place, b.created_at desc, b.id desc limit :many
), chosen_mail as materialized (
    select * from (
        select m.id from agent_messages m
        where m.to_agent_id = :agent and (m.expires_at is null or m.expires_at > :now)
            and not exists (select 1 from message_reads x where x.message_id = m.id and x.agent_id = :agent)
            and (m.topic is null or m.topic <> 'context.generated')
            and (m.project_id is null or m.project_id = (select p.project_id from place p))
        order by m.priority desc, m.created_at, m.id limit :many
    ) as own
    -- To the kinds of agent that it is at work as, and the one that the caller says it is.
    union select * from (
        select m.id from agent_messages m
        where m.to_agent_id in (
                select s.agent_type from subtasks s
                where s.agent_id = :agent and s.session_id = :session_id and s.agent_type <> :agent
                    and s.status not in ('completed', 'failed')
                union select k.agent_type from kind k where k.agent_type = :given_type --? given_type
            ) and (m.from_agent_id is null or m.from_agent_id <> :agent) and (m.expires_at is null or m.expires_at > :now)
            and not exists (select 1 from message_reads x where x.message_id = m.id and x.agent_id = :agent)
            and (m.topic is null or m.topic <> 'context.generated')
            and (m.project_id is null or m.project_id = (select p.project_id from place p))
        order by m.priority desc, m.created_at, m.id limit :many
    ) as to_kind
    union all select * from (
        select m.id from agent_messages m
        where m.to_agent_id is null and (m.expires_at is null or m.expires_at > :now)
            and (m.from_agent_id is null or m.from_agent_id <> :agent)
            and not exists (select 1 from message_reads x where x.message_id = m.id and x.agent_id = :agent)
            and (m.topic is null or m.topic <> 'context.generated')
            and (m.project_id is null or m.project_id = (select p.project_id from place p))
        order by m.priority desc, m.created_at, m.id limit :many
    ) as to_all
)
select 0, cast(null as uuid), kind.agent_type, cast(null as text), cast(null as text),
    cast(null as text), cast(null as text), cast(null as text), cast(null as text),
    cast(null as bigint), cast(null as bigint), cast(null as timestamptz), cast(null as timestamptz),
    cast(null as timestamptz), cast(null as text), cast(null as bytea)
from kind
union all select 1, p.id, p.path, p.name, null, null, null, null, null, null, null, null, null, null, null, null
from place join projects p on p.id = place.project_id
union all select * from (
    select 2, r.id, substr(r.prompt, 1, case when r.id = (
            select n.id from requests n where n.session_id = :session_id order by n.created_at desc, n.id desc limit 1
        ) then 20000 else 1000 end), r.status, cast(r.metadata -> 'added' as text), null, null,
        null, null, cast(length(r.prompt) as bigint), cast(null as bigint), r.created_at,
        cast(null as timestamptz), cast(null as timestamptz), null, cast(null as bytea)
    from requests r where r.session_id = :session_id order by r.created_at desc, r.id desc limit :prompts
) as x
union all select 3, w.id, substr(w.description, 1, 4000), w.status, w.agent_type, w.agent_id, w.task_name,
    substr(cast(w.result as text), 1, 8000), null, cast(w.wave_number as bigint), null, w.created_at, w.started_at,
    w.completed_at, w.blocked_by, null
from chosen_work c join session_work w on w.id = c.id
union all select 4, m.id, m.from_agent_id, m.topic, substr(cast(m.payload as text), 1, 8000), m.to_agent_id, null,
    null, null, cast(m.priority as bigint), null, m.created_at, null, null, null, null
from chosen_mail c join agent_messages m on m.id = c.id
union all select 5, b.id, b.blocked_by, b.blocked_agent, b.reason, null, null, null, null, null, null, b.created_at,
    null, null, null, null
from chosen_blockings c join blocked_agents b on b.id = c.id
union all select * from (
    select 6, cast(null as uuid), f.tool_name, null, null, null, null, null, null, count(*),
        cast(null as bigint), max(f.created_at), cast(null as timestamptz), cast(null as timestamptz),
        f.paths, cast(null as bytea)
    from (
        select paths, tool_name, created_at from file_actions
        where session_id = :session_id order by created_at desc, paths, tool_name limit :file_calls
    ) as f
    group by f.paths, f.tool_name
    order by max(f.created_at) desc, f.paths, f.tool_name limit :files
) as x
union all select * from (
    select 7, f.action_id, f.tool_name, f.attempt, f.detail,
        (select s.agent_id from actions a join subtasks s on s.id = a.subtask_id where a.id = f.action_id),
        null, null, null, cast(f.exit_code as bigint), cast(f.times as bigint), f.failed_at,
        cast(null as timestamptz), cast(null as timestamptz), null, cast(null as bytea)
    from open_failures f where f.session_id = :session_id order by f.failed_at desc, f.subject limit :failures
) as x
union all select * from (
    select 8, a.id, a.tool_name, (select s.agent_id from subtasks s where s.id = a.subtask_id), null,
        null, null, null, null, cast(a.exit_code as bigint), cast(null as bigint), a.created_at,
        cast(null as timestamptz), cast(null as timestamptz), a.paths, substr(a.input, 1, 1000)
    from session_calls a where a.session_id = :session_id order by a.created_at desc, a.id desc limit :steps
) as x
union all select * from (
    select 9, c.id, substr(c.summary, 1, 100000), null, null, null, null, null, null,
        cast(null as bigint), cast(null as bigint), c.created_at, cast(null as timestamptz),
        cast(null as timestamptz), null, cast(null as bytea)
    from compactions c where c.id = (
        -- The agent's own, else what is left of the main agent's context, whose name is empty here. Who was given what was
        -- saved for the session may be the main agent by another name.
        select n.id from compactions n
        where n.session_id = :session_id and n.agent_id in (:compacted_as, '') and n.summary is not null
        order by case when n.external_key like 'restore:session:%' then '' else n.agent_id end desc,
            n.created_at desc, n.id desc limit 1
    )
) as x
union all select * from (
    select 10, c.id, c.progress_summary, null, null, null, null, null, null, cast(null as bigint),
        cast(null as bigint), c.last_updated, cast(null as timestamptz), cast(null as timestamptz),
        null, cast(null as bytea)
    from agent_contexts c
    where c.agent_id = :agent and c.session_id <> :session_id and c.progress_summary is not null
        and c.project_id = (select p.project_id from place p)
    order by c.last_updated desc, c.id desc limit :some
) as x
union all select * from (
    select 11, c.id, null, cast(c.snapshot as text), null, null, null, null, null, cast(null as bigint),
        cast(null as bigint), c.created_at, cast(null as timestamptz), cast(null as timestamptz), null,
        cast(null as bytea)
    from compactions c where c.id = (
        select n.id from compactions n
        where n.session_id = :session_id and n.agent_id in (:compacted_as, '') and n.snapshot is not null
        order by case when n.external_key like 'restore:session:%' then '' else n.agent_id end desc,
            n.created_at desc, n.id desc limit 1
    )
) as x
union all select * from (
    select 12, b.id, substr(b.description, 1, 200), b.status, null, null, null, null, null, cast(null as bigint),
        cast(null as bigint), cast(null as timestamptz), cast(null as timestamptz), cast(null as timestamptz),
        null, cast(null as bytea)
    from chosen_work c join subtask_blockers k on k.subtask_id = c.id join subtasks b on b.id = k.blocker_id
    -- What was called off is waited for by nobody.
    where not exists (
        select 1 from task_lists t join requests r on r.id = t.request_id
        where t.id = b.task_list_id and r.status = 'cancelled'
    )
    order by b.id limit 500
) as x
