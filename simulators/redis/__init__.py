"""Real Redis servers on loopback, for the rehearsed account's caches and for tests of the probe."""
