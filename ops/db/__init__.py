"""`infra db`: PostgreSQL with a login of one's own, through a task of a service (docs/adr/0035)."""
