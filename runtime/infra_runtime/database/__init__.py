"""PostgreSQL: who may do what in it, and how that changes without anybody noticing."""
