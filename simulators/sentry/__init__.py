"""Sentry's API for releases and deployments."""
