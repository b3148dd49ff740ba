"""The whole life of an environment, played through on this machine (README.md, `make rehearse`)."""
