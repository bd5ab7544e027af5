"""Rate limits at run time: the gate of a route, in memory or shared through Redis."""
