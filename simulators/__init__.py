"""Simulators of the vendors. They follow the vendors' own sources, and import nothing of this project."""
