"""Redis, the required dependency, three ways: each of them is a `RedisInstance`, and is watched by a `RedisProbe`."""
