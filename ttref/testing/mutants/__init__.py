"""Wrong operators, to test checks with: each an error that somebody has made, or could.

``MUTANTS["tt_linear.bonds"].op`` has the contract of ``ttref.ops.tt_linear``, and
``CASES["tt_linear"](draw, rng, op)`` makes its cases. A mutant joins by the list ``MUTANTS`` of its
module, and a module by its group here.
"""

from ttref.testing.mutants import (
    affine,
    augmentation,
    cells,
    convolution,
    elementwise,
    gated_cells,
    image_layers,
    layers,
    losses,
    normalization,
    optimizers,
    pooling,
    recurrent_trains,
    sequence_activations,
    sequences,
    trains,
    tt_convolution,
)
from ttref.testing.mutants.mutant import KINDS, Mutant

GROUPS = {
    "affine maps": [*affine.MUTANTS, *trains.MUTANTS],
    "images": [
        *convolution.MUTANTS,
        *tt_convolution.MUTANTS,
        *pooling.MUTANTS,
        *normalization.MUTANTS,
        *augmentation.MUTANTS,
        *image_layers.MUTANTS,
    ],
    "elementwise": elementwise.MUTANTS,
    "losses": losses.MUTANTS,
    "recurrent": [
        *cells.MUTANTS,
        *gated_cells.MUTANTS,
        *sequences.MUTANTS,
        *recurrent_trains.MUTANTS,
        *sequence_activations.MUTANTS,
    ],
    "layers": layers.MUTANTS,
    "optimisers": optimizers.MUTANTS,
}
MUTANTS = {mutant.name: mutant for group in GROUPS.values() for mutant in group}

__all__ = ["GROUPS", "KINDS", "MUTANTS", "Mutant"]
