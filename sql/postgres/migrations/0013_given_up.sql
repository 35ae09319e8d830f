-- Attempts to commit a batch that somebody has looked for in vain: what of them is still on its way must not happen.
create table if not exists given_up_attempts (
    number bigint primary key,
    created_at timestamptz not null default now()
);
