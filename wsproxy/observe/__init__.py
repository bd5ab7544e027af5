"""Logs, access lines and counters."""
