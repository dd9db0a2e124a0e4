"""Fast twins of the hot operators: the same contract, the same results, a planned order of work."""

from ttref.fast import tt_linear

__all__ = ["tt_linear"]
