"""`infra maintenance`: 503 at Cloudflare's edge and muted alarms, for a time that a person names (docs/adr/0036)."""
