"""PURE: which route a request takes and which backends it prefers."""
