"""Data sets: one file each. Nothing is read, and no network is touched, before a loader is called."""
