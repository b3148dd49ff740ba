"""Real Redis servers on loopback: what the rehearsed account's caches are, and what the probe's tests break."""
