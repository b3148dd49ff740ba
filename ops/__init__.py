"""The operator's command, `infra`: what a person asks of a running environment."""
