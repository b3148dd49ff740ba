"""`make sandbox`: a rehearsed environment that stays up, with a page and `./infra`."""
