"""Takes an environment through its whole lifecycle on this machine (README.md, `make rehearse`)."""
