"""The only place with sockets and ssl: streams, listeners, dialling, TLS, locks and deadlines."""
