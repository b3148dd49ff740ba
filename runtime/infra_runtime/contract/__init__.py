"""What synthesis and the functions agree on; constructs, stacks and config import nothing else of the functions."""
