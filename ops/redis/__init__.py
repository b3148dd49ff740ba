"""`infra redis`: how REDIS_URL is read, and whether what is behind it can be used."""
