-- name: migrations_table
create table if not exists dcm_migrations (
    version integer primary key not null,
    name text not null,
    checksum text not null,
    applied_at integer not null
) strict

-- name: migrations_insert
insert into dcm_migrations (version, name, checksum, applied_at)
values (:version, :name, :checksum, cast(unixepoch('subsec') * 1000000 as integer))
