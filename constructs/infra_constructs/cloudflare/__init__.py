"""Cloudflare's zone: typed declarations, each brought about by one custom resource."""
