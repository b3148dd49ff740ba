"""What every Worker of ours is uploaded with."""

COMPATIBILITY_DATE = "2026-11-01"
"""Semantics of the Workers' runtime on this day, whenever one is uploaded. Workers Cache came in July 2026."""
MEDIA_SECONDS = 300
"""How long Workers Cache serves media before it asks S3 again. No purge from outside a Worker reaches its cache
(cloudflare-docs, workers/cache/purge.mdx), so this is how long what was deleted or replaced may still be served."""
