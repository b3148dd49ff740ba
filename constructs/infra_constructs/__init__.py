"""The constructs: AWS and Cloudflare resources. Each module models one idea; `stacks/` wires them."""
