"""Cloudflare's zone: typed declarations, each deployed by one custom resource."""
