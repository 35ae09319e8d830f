-- name: migrations_table
create table if not exists dcm_migrations (
    version bigint primary key,
    name text not null,
    checksum text not null,
    applied_at timestamptz not null default now()
)

-- name: migrations_insert
insert into dcm_migrations (version, name, checksum) values (:version, :name, :checksum)
