"""Jobs: scheduled commands of a service's image."""
