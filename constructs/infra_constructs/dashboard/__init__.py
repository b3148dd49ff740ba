"""A page for each environment."""
