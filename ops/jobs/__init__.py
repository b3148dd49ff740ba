"""Jobs of an environment: what ran, and a run by hand."""
