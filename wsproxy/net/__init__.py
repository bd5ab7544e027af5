"""The only place with sockets: streams, listeners, dialling, locks and deadlines."""
