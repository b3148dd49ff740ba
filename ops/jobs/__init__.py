"""`infra job`: past runs of an environment's jobs, and a run by hand."""
