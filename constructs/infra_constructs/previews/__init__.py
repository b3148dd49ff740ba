"""Previews of pull requests: the functions that assign slots and create databases."""
