"""CloudWatch as far as alarms go: what the alarms of a template would have told of an outage, and when."""
