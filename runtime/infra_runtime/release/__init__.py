"""Releases: ECS's hooks, the function that begins them, and the ledger."""
