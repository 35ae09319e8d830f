-- What a brief is compiled from, in one statement: on PostgreSQL every further one costs as much again. The first column
-- says of what kind a row is; what the others hold depends on it, see `dcm/src/storage/sql/brief.rs`. Every part reads a
-- bounded number of rows by an index, however long the session is.
-- name: brief
select 0, cast(null as uuid), cast(null as text), cast(null as text), cast(null as text), cast(null as text),
    cast(null as text), cast(null as text), cast(null as text), cast(null as bigint), cast(null as bigint),
    cast(null as timestamptz), cast(null as timestamptz), cast(null as timestamptz), cast(null as text),
    cast(null as bytea)
union all select 1, p.id, p.path, p.name, null, null, null, null, null, cast(null as bigint), cast(null as bigint), cast(null as timestamptz), cast(null as timestamptz), cast(null as timestamptz), null, cast(null as bytea) from projects p where p.id = :project_id --? project_id
union all select * from (
    select 1, p.id, p.path, p.name, null, null, null, null, null, cast(null as bigint), cast(null as bigint),
        cast(null as timestamptz), cast(null as timestamptz), cast(null as timestamptz), null, cast(null as bytea)
    from requests r join projects p on p.id = r.project_id
    where r.session_id = :session_id order by r.created_at desc, r.id desc limit 1
) as x
union all select * from (
    select 2, r.id, substr(r.prompt, 1, 20000), r.status, cast(r.metadata -> 'added' as text), null, null, null,
        null, cast(null as bigint), cast(null as bigint), r.created_at, cast(null as timestamptz), cast(null as
        timestamptz), null, cast(null as bytea)
    from requests r where r.session_id = :session_id order by r.created_at desc, r.id desc limit 5
) as x
union all select * from (
    select 3, w.id, substr(w.description, 1, 4000), w.status, w.agent_type, w.agent_id, w.task_name, cast(w.result
        as text), null, w.wave_number, cast(null as bigint), w.created_at, w.started_at, w.completed_at,
        w.blocked_by, cast(null as bytea)
    from session_work w
    where w.agent_id = :agent and w.session_id = :session_id and w.status in ('running', 'blocked', 'paused', 'pending')
    order by case w.status when 'running' then 1 when 'blocked' then 2 when 'paused' then 3 else 4 end, w.created_at, w.id limit 20
) as x
union all select * from (
    select 3, w.id, substr(w.description, 1, 4000), w.status, w.agent_type, w.agent_id, w.task_name, cast(w.result
        as text), null, w.wave_number, cast(null as bigint), w.created_at, w.started_at, w.completed_at,
        w.blocked_by, cast(null as bytea)
    from session_work w
    where w.agent_id = :agent and w.session_id = :session_id and w.status in ('completed', 'failed')
    order by w.created_at desc, w.id desc limit 3
) as x
union all select * from (
    select 3, w.id, substr(w.description, 1, 4000), w.status, w.agent_type, w.agent_id, w.task_name, cast(w.result
        as text), null, w.wave_number, cast(null as bigint), w.created_at, w.started_at, w.completed_at,
        w.blocked_by, cast(null as bytea)
    from session_work w
    where w.session_id = :session_id and w.status = 'running'
    order by w.created_at, w.id limit 15
) as x
union all select * from (
    select 3, w.id, substr(w.description, 1, 4000), w.status, w.agent_type, w.agent_id, w.task_name, cast(w.result
        as text), null, w.wave_number, cast(null as bigint), w.created_at, w.started_at, w.completed_at,
        w.blocked_by, cast(null as bytea)
    from session_work w
    where w.session_id = :session_id and w.status = 'blocked'
    order by w.created_at, w.id limit 10
) as x
union all select * from (
    select 3, w.id, substr(w.description, 1, 4000), w.status, w.agent_type, w.agent_id, w.task_name, cast(w.result
        as text), null, w.wave_number, cast(null as bigint), w.created_at, w.started_at, w.completed_at,
        w.blocked_by, cast(null as bytea)
    from session_work w
    where w.session_id = :session_id and w.status = 'paused'
    order by w.created_at, w.id limit 5
) as x
union all select * from (
    select 3, w.id, substr(w.description, 1, 4000), w.status, w.agent_type, w.agent_id, w.task_name, cast(w.result
        as text), null, w.wave_number, cast(null as bigint), w.created_at, w.started_at, w.completed_at,
        w.blocked_by, cast(null as bytea)
    from session_work w
    where w.session_id = :session_id and w.status = 'pending'
    order by w.created_at, w.id limit 15
) as x
union all select * from (
    select 3, w.id, substr(w.description, 1, 4000), w.status, w.agent_type, w.agent_id, w.task_name, cast(w.result
        as text), null, w.wave_number, cast(null as bigint), w.created_at, w.started_at, w.completed_at,
        w.blocked_by, cast(null as bytea)
    from session_work w
    where w.session_id = :session_id and w.status = 'failed'
    order by w.created_at desc, w.id desc limit 10
) as x
union all select * from (
    select 3, w.id, substr(w.description, 1, 4000), w.status, w.agent_type, w.agent_id, w.task_name, cast(w.result
        as text), null, w.wave_number, cast(null as bigint), w.created_at, w.started_at, w.completed_at,
        w.blocked_by, cast(null as bytea)
    from session_work w
    where w.session_id = :session_id and w.status = 'completed'
        and (w.agent_id <> :agent and w.agent_id <> :session_id or w.agent_id is null and w.agent_type is not null)
    order by w.created_at desc, w.id desc limit 20
) as x
union all select * from (
    select 4, m.id, m.from_agent_id, m.topic, substr(cast(m.payload as text), 1, 8000), m.to_agent_id, null, null,
        null, m.priority, cast(null as bigint), m.created_at, cast(null as timestamptz), cast(null as timestamptz),
        null, cast(null as bytea)
    from agent_messages m
    where m.to_agent_id = :agent and (m.expires_at is null or m.expires_at > :now)
        and not exists (select 1 from message_reads x where x.message_id = m.id and x.agent_id = :agent)
        and (m.topic is null or m.topic <> 'context.generated')
        and (m.project_id is null or m.project_id = (select r.project_id from requests r
            where r.session_id = :session_id order by r.created_at desc, r.id desc limit 1))
    order by m.priority desc, m.created_at, m.id limit 20
) as x
union all select * from (
    select 4, m.id, m.from_agent_id, m.topic, substr(cast(m.payload as text), 1, 8000), m.to_agent_id, null, null,
        null, m.priority, cast(null as bigint), m.created_at, cast(null as timestamptz), cast(null as timestamptz),
        null, cast(null as bytea)
    from agent_messages m
    where m.to_agent_id <> :agent and m.to_agent_id in (
        select s.agent_type from subtasks s
        where s.agent_id = :agent and s.session_id = :session_id and s.status not in ('completed', 'failed')
    ) and (m.expires_at is null or m.expires_at > :now)
        and not exists (select 1 from message_reads x where x.message_id = m.id and x.agent_id = :agent)
        and (m.topic is null or m.topic <> 'context.generated')
        and (m.project_id is null or m.project_id = (select r.project_id from requests r
            where r.session_id = :session_id order by r.created_at desc, r.id desc limit 1))
    order by m.priority desc, m.created_at, m.id limit 20
) as x
union all select * from (
    select 4, m.id, m.from_agent_id, m.topic, substr(cast(m.payload as text), 1, 8000), m.to_agent_id, null, null,
        null, m.priority, cast(null as bigint), m.created_at, cast(null as timestamptz), cast(null as timestamptz),
        null, cast(null as bytea)
    from agent_messages m
    where m.to_agent_id is null and (m.expires_at is null or m.expires_at > :now)
        and not exists (select 1 from message_reads x where x.message_id = m.id and x.agent_id = :agent)
        and (m.topic is null or m.topic <> 'context.generated')
        and (m.project_id is null or m.project_id = (select r.project_id from requests r
            where r.session_id = :session_id order by r.created_at desc, r.id desc limit 1))
    order by m.priority desc, m.created_at, m.id limit 20
) as x
union all select * from (
    select 5, b.id, b.blocked_by, b.blocked_agent, b.reason, null, null, null, null, cast(null as bigint), cast(null
        as bigint), b.created_at, cast(null as timestamptz), cast(null as timestamptz), null, cast(null as bytea)
    from blocked_agents b where b.blocked_agent = :agent order by b.created_at desc, b.id desc limit 10
) as x
union all select * from (
    select 5, b.id, b.blocked_by, b.blocked_agent, b.reason, null, null, null, null, cast(null as bigint), cast(null
        as bigint), b.created_at, cast(null as timestamptz), cast(null as timestamptz), null, cast(null as bytea)
    from blocked_agents b where b.blocked_by = :agent order by b.created_at desc, b.id desc limit 10
) as x
union all select * from (
    select 5, b.id, b.blocked_by, b.blocked_agent, b.reason, null, null, null, null, cast(null as bigint), cast(null
        as bigint), b.created_at, cast(null as timestamptz), cast(null as timestamptz), null, cast(null as bytea)
    from blocked_agents b where b.blocked_agent in (
        select s.agent_id from subtasks s
        where s.session_id = :session_id and s.status in ('running', 'blocked', 'paused', 'pending')
    )
    order by b.created_at desc, b.id desc limit 10
) as x
union all select * from (
    select 6, cast(null as uuid), f.tool_name, null, null, null, null, null, null, count(*), cast(null as bigint),
        max(f.created_at), cast(null as timestamptz), cast(null as timestamptz), f.paths, cast(null as bytea)
    from (
        select paths, tool_name, created_at from file_actions
        where session_id = :session_id order by created_at desc, paths, tool_name limit 1000
    ) as f
    group by f.paths, f.tool_name
    order by max(f.created_at) desc, f.paths, f.tool_name limit 150
) as x
union all select * from (
    select 7, f.action_id, f.tool_name, f.attempt, f.detail, (select s.agent_id from actions a join subtasks s on
        s.id = a.subtask_id where a.id = f.action_id), null, null, null, f.exit_code, f.times,
        f.failed_at, cast(null as timestamptz), cast(null as timestamptz), null, cast(null as bytea)
    from open_failures f where f.session_id = :session_id order by f.failed_at desc, f.subject limit 40
) as x
union all select * from (
    select 8, a.id, a.tool_name, (select s.agent_id from actions x join subtasks s on s.id = x.subtask_id where
        x.id = a.id), null, null, null, null, null, a.exit_code, cast(null as bigint),
        a.created_at, cast(null as timestamptz), cast(null as timestamptz), a.paths, substr(a.input, 1, 1000)
    from session_steps a where a.session_id = :session_id order by a.created_at desc, a.id desc limit :steps
) as x
union all select * from (
    select 9, c.id, substr(c.summary, 1, 100000), null, null, null, null, null, null, cast(null
        as bigint), cast(null as bigint), c.created_at, cast(null as timestamptz), cast(null as timestamptz), null,
        cast(null as bytea)
    from compactions c where c.session_id = :session_id and c.summary is not null order by c.created_at desc, c.id desc limit 1
) as x
union all select * from (
    select 10, c.id, c.progress_summary, null, null, null, null, null, null, cast(null as bigint), cast(null as
        bigint), c.last_updated, cast(null as timestamptz), cast(null as timestamptz), null, cast(null as bytea)
    from agent_contexts c
    where c.agent_id = :agent and c.session_id <> :session_id and c.progress_summary is not null
        and c.project_id = (select r.project_id from requests r
            where r.session_id = :session_id order by r.created_at desc, r.id desc limit 1)
    order by c.last_updated desc, c.id desc limit 3
) as x
union all select * from (
    select 11, c.id, null, cast(c.snapshot as text), null, null, null, null, null, cast(null
        as bigint), cast(null as bigint), c.created_at, cast(null as timestamptz), cast(null as timestamptz), null,
        cast(null as bytea)
    from compactions c where c.session_id = :session_id and c.snapshot is not null order by c.created_at desc, c.id desc limit 1
) as x
