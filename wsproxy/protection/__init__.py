"""PURE: decisions that protect backends: pool size, retries."""
