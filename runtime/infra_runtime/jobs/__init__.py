"""Jobs: commands of a service's image that run by the clock."""
