"""How a new version comes to serve, and how it goes away again."""
