"""The upstream side: bounded queues, worker pools and their persistent connections."""
