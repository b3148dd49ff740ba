"""`infra redis`: parses a REDIS_URL, and checks whether its Redis can be used."""
