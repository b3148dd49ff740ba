"""A simulator of Cloudflare: the parts of its API and rules that a product's edge needs."""
