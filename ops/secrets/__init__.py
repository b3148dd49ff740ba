"""`infra secret`: lists the secrets that an environment's file names, and sets their values."""
