"""Releases: begin, follow, list and roll back."""
