-- Mends what a database that the original service filled holds. In a database of our own there is nothing to mend.
-- It runs in the transaction of 0001, once; what it has mended it would not touch again.
--
-- Nothing here may fail on odd rows, so it adds no constraint that they could break: duplicate waves, for example,
-- stay. Compressed input and output stay too, with the flags in `metadata` that say so.

-- Both triggers call a function that sets `updated_at` to the time of the transaction. `agent_contexts` has no such
-- column, so each of its updates failed; in `projects` it would replace the time that the engine sets. The function
-- stays, somebody may use it elsewhere.
drop trigger if exists update_contexts_updated_at on agent_contexts;
drop trigger if exists update_projects_updated_at on projects;

-- A session outlives its project; the original's foreign key forbade to delete a project that had sessions.
-- Rows that break it must not stop the start: then the key holds for new rows only.
do $$
declare
    old_key record;
begin
    for old_key in
        select conname from pg_constraint
        where conrelid = 'sessions'::regclass and confrelid = 'projects'::regclass
            and contype = 'f' and confdeltype <> 'n'
    loop
        execute format('alter table sessions drop constraint %I', old_key.conname);
        execute format(
            'alter table sessions add constraint %I foreign key (project_id) references projects (id) '
            'on delete set null not valid',
            old_key.conname
        );
        if not exists (
            select from sessions
            where project_id is not null and not exists (select from projects where projects.id = project_id)
        ) then
            execute format('alter table sessions validate constraint %I', old_key.conname);
        end if;
    end loop;
end
$$;

-- Each upsert of a score draws a number, also when the row is there: 32 bits run out after a few years.
do $$
begin
    if (
        select atttypid from pg_attribute
        where attrelid = 'keyword_tool_scores'::regclass and attname = 'id'
    ) = 'integer'::regtype then
        alter table keyword_tool_scores alter column id type bigint;
        alter sequence if exists keyword_tool_scores_id_seq as bigint;
    end if;
exception
    when feature_not_supported then
        raise warning 'the numbers of keyword_tool_scores stay 32 bits wide: %', sqlerrm;
end
$$;

-- JSON ------------------------------------------------------------------------------------------------------------

-- The original wrote JSON as a text, encoded it once more, and stored the string. Where it meant to merge two objects
-- it so got an array of such strings.

-- `given` as JSON, or null when it is none.
create function dcm_adopt_parse(given text) returns jsonb
language plpgsql
as $$
begin
    return given::jsonb;
exception
    when data_exception or program_limit_exceeded then
        -- Inside a string the original could keep what jsonb cannot: the character NUL and halves of surrogate pairs.
        begin
            given := regexp_replace(given, '(?<!\\)((?:\\\\)*)\\u0000', '\1\\ufffd', 'g');
            given := regexp_replace(
                given,
                '(?<!\\)((?:\\\\)*)\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F][0-9a-fA-F]{2})',
                '\1\\ufffd',
                'g'
            );
            given := regexp_replace(
                given,
                '(?<!\\u[dD][89abAB][0-9a-fA-F]{2})(?<!\\)((?:\\\\)*)\\u[dD][c-fC-F][0-9a-fA-F]{2}',
                '\1\\ufffd',
                'g'
            );
            return given::jsonb;
        exception
            when data_exception or program_limit_exceeded then
                return null;
        end;
end
$$;

-- The object that `given` is, holds as a string (however deep), or holds in pieces; null when there is none.
create function dcm_adopt_object(given jsonb) returns jsonb
language plpgsql
as $$
declare
    piece jsonb;
    folded jsonb := '{}';
    has_strings boolean := false;
begin
    case jsonb_typeof(given)
        when 'object' then
            return given;
        when 'string' then
            return dcm_adopt_object(dcm_adopt_parse(given #>> '{}'));
        when 'array' then
            for piece in select value from jsonb_array_elements(given) loop
                has_strings := has_strings or jsonb_typeof(piece) = 'string';
                if jsonb_typeof(piece) <> 'null' then
                    piece := dcm_adopt_object(piece);
                    if piece is null then
                        return null;
                    end if;
                    folded := folded || piece;
                end if;
            end loop;
            -- An array without a string was not made by a failed merge: it is somebody's list.
            return case when has_strings then folded end;
        else
            return null;
    end case;
end
$$;

-- `given` as an object in any case: what holds none is kept under the name `wrapper`.
create function dcm_adopt_mend(given jsonb, wrapper text) returns jsonb
language sql
as $$
    select case
        when given is null or jsonb_typeof(given) = 'null' then '{}'
        else coalesce(dcm_adopt_object(given), jsonb_build_object(wrapper, given))
    end
$$;

update projects
set
    metadata = dcm_adopt_mend(metadata, 'value'),
    created_at = coalesce(created_at, updated_at, now()),
    updated_at = coalesce(updated_at, created_at, now())
where jsonb_typeof(metadata) is distinct from 'object' or created_at is null or updated_at is null;

update requests
set
    metadata = dcm_adopt_mend(metadata, 'value'),
    status = coalesce(status, 'active'),
    created_at = coalesce(created_at, completed_at, now())
where jsonb_typeof(metadata) is distinct from 'object' or status is null or created_at is null;

update task_lists
set
    wave_number = coalesce(wave_number, 0),
    status = coalesce(status, 'pending'),
    created_at = coalesce(created_at, completed_at, now())
where wave_number is null or status is null or created_at is null;

update subtasks
set
    status = coalesce(status, 'pending'),
    created_at = coalesce(created_at, started_at, completed_at, now()),
    context_snapshot = case
        when jsonb_typeof(context_snapshot) <> 'null' then dcm_adopt_mend(context_snapshot, 'value')
    end,
    result = case when jsonb_typeof(result) <> 'null' then dcm_adopt_mend(result, 'value') end
where status is null or created_at is null
    or jsonb_typeof(context_snapshot) <> 'object' or jsonb_typeof(result) <> 'object';

-- `recorded_at` was added by this very transaction, which gave every row there was the time of its start, and so it
-- stays: retention counts from the adoption, or an old database would lose its actions on the first day. One update,
-- because it may be a large table.
update actions
set (metadata, session_id, exit_code, created_at) = (
    select
        mended.metadata,
        coalesce(session_id, nullif(mended.metadata ->> 'session_id', '')),
        coalesce(exit_code, 0),
        coalesce(created_at, now())
    from (values (dcm_adopt_mend(metadata, 'value'))) as mended (metadata)
)
where recorded_at = now() or jsonb_typeof(metadata) is distinct from 'object' or exit_code is null
    or created_at is null;

update agent_messages
set
    payload = dcm_adopt_mend(payload, 'message'),
    priority = coalesce(priority, 0),
    created_at = coalesce(created_at, now())
where jsonb_typeof(payload) <> 'object' or priority is null or created_at is null;

update agent_contexts
set role_context = dcm_adopt_mend(role_context, 'value'), last_updated = coalesce(last_updated, now())
where jsonb_typeof(role_context) <> 'object' or last_updated is null;

drop function dcm_adopt_mend(jsonb, text);
drop function dcm_adopt_object(jsonb);
drop function dcm_adopt_parse(text);

-- Values that are missing -----------------------------------------------------------------------------------------

update keyword_tool_scores
set
    score = coalesce(score, 1.0),
    usage_count = coalesce(usage_count, 1),
    success_count = coalesce(success_count, 1),
    last_used = coalesce(last_used, now())
where score is null or usage_count is null or success_count is null or last_used is null;

update subscriptions
set
    created_at = coalesce(created_at, updated_at, now()),
    updated_at = coalesce(updated_at, created_at, now())
where created_at is null or updated_at is null;

update blocked_agents set created_at = now() where created_at is null;

-- An open session was last seen when it last did something.
update sessions
set
    started_at = coalesce(started_at, ended_at, now()),
    total_tools_used = coalesce(total_tools_used, 0),
    total_success = coalesce(total_success, 0),
    total_errors = coalesce(total_errors, 0),
    last_seen_at = coalesce(
        last_seen_at,
        greatest(
            coalesce(started_at, ended_at, now()),
            ended_at,
            (select max(created_at) from requests where requests.session_id = sessions.id),
            (select max(created_at) from actions where actions.session_id = sessions.id)
        )
    )
where last_seen_at is null or started_at is null or total_tools_used is null or total_success is null
    or total_errors is null;

-- The column `read_by` stays as it is, for the view of unread messages.
insert into message_reads (message_id, agent_id, read_at)
select agent_messages.id, reader.agent_id, agent_messages.created_at
from agent_messages cross join lateral unnest(agent_messages.read_by) as reader (agent_id)
where reader.agent_id is not null
on conflict do nothing;

-- Words and parents that only the original's API looked after -------------------------------------------------------

-- What is replaced here is kept there.
create table if not exists adopted_values (
    table_name text not null,
    row_id text not null,
    column_name text not null,
    value text not null,
    primary key (table_name, row_id, column_name)
);

do $$
declare
    rule record;
begin
    for rule in
        select *
        from (values
            ('requests', 'prompt_type', 'other',
                '{feature,debug,explain,search,refactor,test,review,other}'::text[]),
            ('requests', 'status', 'completed', '{active,completed,failed,cancelled}'),
            ('task_lists', 'status', 'completed', '{pending,running,completed,failed,blocked}'),
            ('subtasks', 'status', 'completed', '{pending,running,paused,blocked,completed,failed}'),
            ('actions', 'tool_type', 'builtin', '{builtin,agent,skill,command,mcp}'),
            ('keyword_tool_scores', 'tool_type', 'builtin', '{builtin,agent,skill,command,mcp}')
        ) as rules (table_name, column_name, replacement, known)
    loop
        execute format(
            'with strange as ('
            '    update %1$I set %2$I = %3$L'
            '    from %1$I as old'
            '    where old.id = %1$I.id and %1$I.%2$I <> all (%4$L)'
            '    returning old.id::text as row_id, old.%2$I as value'
            ') '
            'insert into adopted_values (table_name, row_id, column_name, value) '
            'select %1$L, row_id, %2$L, value from strange '
            'on conflict do nothing',
            rule.table_name, rule.column_name, rule.replacement, rule.known
        );
    end loop;
end
$$;

-- Waves without a request and subtasks without a wave get a place in the tree.
with holder as (
    insert into requests (id, session_id, prompt, prompt_type, status, created_at, completed_at, metadata)
    select gen_random_uuid(), 'adopted', 'Work that belonged to no request', 'other', 'completed', now(), now(), '{}'
    where exists (select from task_lists where request_id is null)
    returning id
)
update task_lists set request_id = holder.id from holder where request_id is null;

with request as (
    insert into requests (id, session_id, prompt, prompt_type, status, created_at, completed_at, metadata)
    select gen_random_uuid(), 'adopted', 'Work that belonged to no wave', 'other', 'completed', now(), now(), '{}'
    where exists (select from subtasks where task_list_id is null)
    returning id
),
holder as (
    insert into task_lists (id, request_id, name, wave_number, status, created_at, completed_at)
    select gen_random_uuid(), request.id, 'Work that belonged to no wave', 0, 'completed', now(), now() from request
    returning id
)
update subtasks set task_list_id = holder.id from holder where task_list_id is null;
