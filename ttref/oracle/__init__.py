"""The oracle: which numbers of somebody else's layer are wrong, by how much, and why.

`Adapter` is what they write, `evaluate` what they ask, `conforms` the same as a test of theirs,
`judge` the verdict on numbers that were computed anywhere.
"""

from ttref.oracle.judge import Verdicts, conforms, evaluate, judge
from ttref.oracle.protocol import LAYOUTS, Adapter, Storage, load

__all__ = [
    "LAYOUTS",
    "Adapter",
    "Storage",
    "Verdicts",
    "conforms",
    "evaluate",
    "judge",
    "load",
]
