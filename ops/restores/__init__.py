"""The database as it was at a time, in the place of the one that serves."""
