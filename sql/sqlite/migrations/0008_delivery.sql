-- Nobody looks for it, and every change of a place would change it.
drop index agent_channels_updated;
