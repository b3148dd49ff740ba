"""Upstash, simulated: an account that already has databases of others; new databases are real Redis servers."""
