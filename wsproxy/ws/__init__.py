"""PURE: the WebSocket protocol (RFC 6455) as a relay sees it: handshake, frame boundaries, relay state."""
