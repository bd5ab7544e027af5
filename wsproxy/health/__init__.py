"""Active health checks: probes and their verdicts."""
