"""A WebSocket-aware reverse proxy and load balancer: one ini file in, one command to run."""

__version__ = "0.1.0"
