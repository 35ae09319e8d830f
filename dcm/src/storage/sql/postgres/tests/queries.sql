-- Queries of the driver's tests.

-- name: ping
select 1

-- name: echo_bool
select :v::boolean
-- name: echo_int2
select :v::int2
-- name: echo_int4
select :v::int4
-- name: echo_int8
select :v::int8
-- name: echo_float4
select :v::float4
-- name: echo_float8
select :v::float8
-- name: echo_numeric
select (:v::float8)::numeric
-- name: echo_text
select :v::text
-- name: echo_varchar
select :v::varchar
-- name: echo_uuid
select :v::uuid
-- name: echo_time
select :v::timestamptz
-- name: echo_json
select :v::json
-- name: echo_jsonb
select :v::jsonb
-- name: echo_bytes
select :v::bytea
-- name: echo_texts
select :v::text[]
-- name: echo_uuids
select :v::uuid[]
-- name: echo_ints
select :v::int8[]

-- name: odd_values
select
    12345678.875::numeric, -0.0001::numeric, 1e20::numeric, 'NaN'::numeric, 0::numeric, sum(x),
    'infinity'::timestamptz, '-infinity'::timestamptz,
    array['a', null, 'b'], array[['a', 'b'], ['c', 'd']], '{}'::uuid[], array[1, 2]::int4[],
    'name'::name, null::int4, pg_advisory_xact_lock_shared(1)
from generate_series(1, 10) as x

-- name: unknown_type
select interval '1 day'

-- name: members
select x.n from unnest(array[1, 2, 3]) as x (n) where x.n::int8 in (:wanted*) order by x.n

-- name: bulk_lists
select x.texts::text[], x.ids::uuid[], x.ints::int8[]
from unnest(:texts::text[], :ids::text[], :ints::text[]) with ordinality as x (texts, ids, ints, place)
order by x.place

-- name: things_table
create table things (
    id uuid primary key,
    rank integer not null,
    name text,
    tags text[],
    made_at timestamptz,
    extra jsonb,
    body bytea,
    weight real,
    done boolean
)

-- name: things_insert
insert into things (id, rank, name, tags, made_at, extra, body, weight, done)
select x.id, x.rank, x.name, x.tags::text[], x.made_at, x.extra, x.body, x.weight, x.done
from unnest(
    :id::uuid[], :rank::int4[], :name::text[], :tags::text[], :made_at::timestamptz[], :extra::jsonb[],
    :body::bytea[], :weight::float4[], :done::boolean[]
) as x (id, rank, name, tags, made_at, extra, body, weight, done)

-- name: things_all
select id, rank, name, tags, made_at, extra, body, weight, done from things order by rank

-- name: thing_insert
insert into things (id, rank) values (:id, :rank)
-- name: thing_insert_again
insert into things (id, rank) values (:id, :rank + 0)
-- name: things_count
select count(*) from things
-- name: thing_tag
update things set tags = :tags where id = :id returning rank

-- name: no_such_table
select * from there_is_no_such_table

-- name: settings
select
    current_setting('synchronous_commit'), current_setting('transaction_isolation'), current_setting('timezone'),
    current_setting('application_name'), current_setting('jit'), current_setting('statement_timeout'),
    current_setting('lock_timeout'), current_setting('idle_in_transaction_session_timeout'),
    pg_current_snapshot()::text

-- name: backend
select pg_backend_pid()
-- name: end_own_session
select pg_terminate_backend(pg_backend_pid())
-- name: take_lock
select pg_advisory_xact_lock(7)
-- name: sleep
select pg_sleep(600)
-- name: divide_by_zero
select 1 / (count(*) - count(*)) from things
