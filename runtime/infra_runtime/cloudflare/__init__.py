"""Cloudflare's zone, converged object by object: ours are known by their marker, everybody else's survive."""
