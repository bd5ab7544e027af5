"""The client side: listeners, sessions, forwarding and WebSocket relays."""
