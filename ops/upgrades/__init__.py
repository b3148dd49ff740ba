"""`infra database upgrade`: a new major version of PostgreSQL takes over from the current one."""
