"""`infra db`: PostgreSQL with a personal login, through a task of a service (docs/adr/0035)."""
