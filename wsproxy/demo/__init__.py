"""A tiny HTTP and WebSocket server to put behind the proxy.

It knows nothing of the proxy. It is written as a user would write such a server, on anyio, h11 and the sans-I/O core of
websockets, and it is a proving ground as well: slow answers, big ones, streamed ones, and two kinds of WebSocket.
"""
