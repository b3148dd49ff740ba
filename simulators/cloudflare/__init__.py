"""A Cloudflare of our own: as much of its API, and of its rules, as the edge of a product needs."""
