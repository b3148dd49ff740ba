"""Releases: what ECS asks on the way, who begins them, and what is written down about them."""
