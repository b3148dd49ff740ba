"""What the product is made of. Each module models one idea; `stacks/` wires them."""
