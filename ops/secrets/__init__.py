"""The secrets that an environment's file names: which are there, and new values for them."""
