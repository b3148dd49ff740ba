"""Upstash, simulated: an account with databases of others in it, whose own databases are real Redis servers."""
