"""CloudWatch's alarms: computes the notifications that a template's alarms would send in an outage, and when."""
