"""What the layers compute that the oracle knows: their truth, exactly or enclosed, and rounded.

``spec("conv2d", images="NCHW")`` is a layer with its options, `compute` its results and gradients,
and `rounded` these rounded once. `SPECS` has the kinds of layers by name.
"""

from typing import Any

from ttref.checks import check_choice
from ttref.errors import ConventionError
from ttref.oracle.specs import (
    affine,
    algebra,
    convolution,
    losses,
    normalization,
    optimizers,
    pooling,
    recurrent,
    tt_recurrent,
)
from ttref.oracle.specs.base import Problem, Spec
from ttref.oracle.specs.computing import Results, compute
from ttref.oracle.specs.judging import draw_lattice, judge_floats, judge_lattice
from ttref.oracle.specs.rounding import rounded

_KINDS: tuple[type[Spec], ...] = (
    affine.Linear,
    affine.TTLinear,
    affine.TTEmbedding,
    convolution.Conv2d,
    convolution.TTConv2d,
    recurrent.RNN,
    recurrent.GRU,
    recurrent.LSTM,
    tt_recurrent.TTRNN,
    tt_recurrent.TTGRU,
    tt_recurrent.TTLSTM,
    normalization.BatchNorm,
    pooling.MaxPool,
    pooling.AvgPool,
    losses.Softmax,
    losses.MeanSquaredError,
    losses.BinaryCrossEntropy,
    losses.SoftmaxCrossEntropy,
    optimizers.SGDStep,
    optimizers.AdamStep,
    algebra.TTSum,
    algebra.TTProduct,
    algebra.TTRounding,
)

SPECS = {kind.kind: kind for kind in _KINDS}
"""The kinds of layers by name."""


def spec(kind: str, **options: Any) -> Spec:
    """Declare a layer.

    Parameters
    ----------
    kind : str
        A name in `SPECS`.
    **options
        Those of the class of that name.

    Returns
    -------
    Spec

    Raises
    ------
    ConventionError
        If there is no such layer, no such option, or the option does not have such a value.

    Examples
    --------
    >>> from ttref.oracle import spec
    >>> layer = spec("tt_linear", layout="torchtt", bias=False)
    >>> sorted(layer.params), layer.inputs
    (['cores'], {'x': 'B N'})
    """
    check_choice("kind", kind, SPECS)
    known = list(SPECS[kind].__dataclass_fields__)
    for name in options:
        check_choice(f"option of {kind}", name, known)
    try:
        return SPECS[kind](**options)
    except TypeError as error:
        raise ConventionError(f"{kind} does not take these options: {error}") from None


__all__ = [
    "SPECS",
    "Problem",
    "Results",
    "Spec",
    "compute",
    "draw_lattice",
    "judge_floats",
    "judge_lattice",
    "rounded",
    "spec",
]
