"""Redis as the application uses it: a parser of `REDIS_URL`, and a probe."""
