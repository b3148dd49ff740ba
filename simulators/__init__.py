"""Stand-ins for the vendors: they behave as the vendors' own sources say, and know nothing of this project."""
