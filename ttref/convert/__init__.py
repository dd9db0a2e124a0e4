"""Weights from and to the layouts of other systems.

`SYSTEMS` says in a sentence how each system stores a tensor train; `to_canonical` and
`from_canonical` convert trains. `LAYERS` has the layers whose parameters `to_params` and
`from_params` convert.
"""

from ttref.convert.halves import join_halves
from ttref.convert.params import LAYERS, from_params, to_params
from ttref.convert.systems import SYSTEMS
from ttref.convert.trains import from_canonical, to_canonical

__all__ = [
    "LAYERS",
    "SYSTEMS",
    "from_canonical",
    "from_params",
    "join_halves",
    "to_canonical",
    "to_params",
]
