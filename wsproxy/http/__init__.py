"""PURE: HTTP/1.1 heads, bodies and replies as bytes (RFC 9110, 9112); no socket, clock or event loop."""
