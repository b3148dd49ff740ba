"""Previews of pull requests: who has which slot, until when, and what runs in it."""
