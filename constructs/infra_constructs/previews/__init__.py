"""Previews of pull requests: the functions that give out slots and make databases."""
