"""Recurrence over time, planned: what `ttref.scan` computes, in a fraction of the time."""

from ttref.fast.recurrence.over_time import Cache, backward, forward

__all__ = ["Cache", "backward", "forward"]
