"""Numbers for object arrays: what an operator computes depends only on what it is given."""
