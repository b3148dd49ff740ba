"""What is watched, one file for each thing that can hurt users. Alarms that gate a release: `release.alarms`."""
