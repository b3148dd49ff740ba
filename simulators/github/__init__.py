"""GitHub's REST API, simulated: how it names repositories in tokens, and the environments that workflows run in."""
