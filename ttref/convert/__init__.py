"""Weights from and to the layouts of other systems; no number is changed.

`SYSTEMS` says in a sentence how each system stores a tensor train.
"""

from ttref.convert.halves import join_halves
from ttref.convert.systems import SYSTEMS
from ttref.convert.trains import from_canonical, to_canonical

__all__ = ["SYSTEMS", "from_canonical", "join_halves", "to_canonical"]
