"""A simulator of Cloudflare: as much of its API, and of its rules, as a product's edge needs."""
