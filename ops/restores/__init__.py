"""`infra restore`: the database, a table or media as it was at a point in time."""
