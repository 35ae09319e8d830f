-- What the migration runner knows about a database.

-- name: migrations_applied
select version, name, checksum from dcm_migrations order by version
