"""What every Worker of ours is uploaded with."""

COMPATIBILITY_DATE = "2026-11-01"
"""Semantics of the Workers' runtime on this day, whenever one is uploaded. Workers Cache came in July 2026."""
