"""What several instances know together of the sessions that their servers have named."""
