"""Another major version of the database, in the place of the one that serves."""
