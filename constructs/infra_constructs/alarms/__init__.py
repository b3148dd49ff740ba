"""Alarms, one file for each part of the system. Alarms that gate a release: `release.alarms`."""
