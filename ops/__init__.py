"""`infra`, the operator's command for running environments."""
