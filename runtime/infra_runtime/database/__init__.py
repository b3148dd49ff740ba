"""PostgreSQL: roles and logins, their rotation without an outage, restores and upgrades."""
