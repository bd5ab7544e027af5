"""Servers that the proxy starts, watches and stops itself."""
