"""Fast twins of the hot operators: the same contract, the same results, a planned order of work."""

from ttref.fast import conv2d, linear, recurrent, tt_conv2d, tt_linear

__all__ = ["conv2d", "linear", "recurrent", "tt_conv2d", "tt_linear"]
