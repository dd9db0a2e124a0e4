"""Wrong operators, to test checks with: each an error that somebody has made, or could.

``MUTANTS["tt_linear.bonds"].op`` has the contract of ``ttref.ops.tt_linear``, and
``CASES["tt_linear"](draw, rng, op)`` makes its cases. A family of operators has one file; a new
file joins by its list.
"""

from ttref.testing.mutants import affine, elementwise, layers, losses, optimizers, trains
from ttref.testing.mutants.mutant import KINDS, Mutant

FAMILIES = {
    "affine maps": [*affine.MUTANTS, *trains.MUTANTS],
    "elementwise": elementwise.MUTANTS,
    "losses": losses.MUTANTS,
    "layers": layers.MUTANTS,
    "optimisers": optimizers.MUTANTS,
}
MUTANTS = {mutant.name: mutant for family in FAMILIES.values() for mutant in family}

__all__ = ["FAMILIES", "KINDS", "MUTANTS", "Mutant"]
