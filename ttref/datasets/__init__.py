"""Data sets: one file each. Nothing is read or downloaded before a loader is called."""
