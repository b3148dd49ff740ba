"""GitHub's side of the delivery: what its environments need, and how it names a repository in a token."""
