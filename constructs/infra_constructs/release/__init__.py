"""Releases: image, migration, deployment hooks, alarms that roll back, ledger."""
