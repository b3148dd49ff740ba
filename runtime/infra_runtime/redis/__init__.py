"""Redis as the application is told about it: one reading of `REDIS_URL`, and a probe that uses it."""
