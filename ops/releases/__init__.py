"""Releases: begun, followed, looked up and taken back."""
