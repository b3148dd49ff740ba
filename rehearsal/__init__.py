"""The whole life of an environment, rehearsed on this machine (README.md, `make rehearse`)."""
