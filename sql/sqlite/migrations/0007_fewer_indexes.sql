-- Actions and events lie in the order in which they were recorded; finding the oldest of them needs no index.
drop index actions_recorded;
drop index events_created;
