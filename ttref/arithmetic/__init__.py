"""Exact numbers, and numbers that carry error bounds, for the entries of NumPy object arrays."""
