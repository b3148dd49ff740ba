"""Redis from three providers: each is a `RedisInstance`, and a `RedisProbe` checks it."""
