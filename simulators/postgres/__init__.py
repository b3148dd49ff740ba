"""PostgreSQL as RDS runs it: real servers with TLS, a master who is no superuser, and a WAL archive."""
