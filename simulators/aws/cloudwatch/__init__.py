"""CloudWatch's alarms: which notifications the alarms of a template would have sent in an outage, and when."""
