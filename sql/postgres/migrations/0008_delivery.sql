-- Nobody looks for it, and every change of a place would change it.
drop index if exists agent_channels_updated;
