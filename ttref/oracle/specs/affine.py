"""Affine maps: dense, by a tensor train, and the rows of a tensor train (an embedding)."""

from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar, NamedTuple

import numpy as np

from ttref import contracts
from ttref.arrays import holds_objects, namespace
from ttref.checks import as_integer, check_choice, check_flag
from ttref.contracts import Array, Tree
from ttref.errors import ConventionError, DtypeError
from ttref.oracle.layouts import LAYOUTS
from ttref.oracle.specs.any_order import LINEAR, TT_LINEAR
from ttref.oracle.specs.axes import Signature, Sizes, Train, rearrange
from ttref.oracle.specs.base import Spec
from ttref.oracle.specs.drawing import draw_different, draw_train

KERNELS = {"in out": "NM", "out in": "MN"}
"""How a matrix is stored: ``y = x W`` or ``y = x W^T``."""


@dataclass(frozen=True, kw_only=True)
class Linear(Spec):
    """``y = x W + b``.

    Parameters
    ----------
    kernel : str
        ``"in out"``: W has shape (N, M); ``"out in"``: (M, N), as in torch.
    bias : bool
    """

    kind: ClassVar[str] = "linear"
    multilinear: ClassVar[bool] = True

    kernel: str = "in out"
    bias: bool = True

    def __post_init__(self) -> None:
        check_choice("kernel", self.kernel, KERNELS)
        check_flag("bias", self.bias)

    @property
    def params(self) -> Signature:
        kernel = " ".join(KERNELS[self.kernel])
        return {"kernel": kernel} | ({"bias": "M"} if self.bias else {})

    @property
    def inputs(self) -> Signature:
        return {"x": "B N"}

    def forward(
        self, params: dict[str, Tree], inputs: dict[str, Tree]
    ) -> tuple[dict[str, Tree], contracts.Cache]:
        kernel = rearrange(params["kernel"], KERNELS[self.kernel], "NM")
        y, cache = LINEAR.forward({**params, "kernel": kernel}, inputs["x"])
        return {"y": y}, cache

    def backward(self, upstream: dict[str, Tree], cache: contracts.Cache) -> dict[str, Tree]:
        dparams, dx = LINEAR.backward(upstream["y"], cache)
        kernel = rearrange(dparams["kernel"], "NM", KERNELS[self.kernel])
        return {**dparams, "kernel": kernel, "x": dx}

    def draw_sizes(self, rng: np.random.Generator) -> Sizes:
        return {**draw_different(rng, "B N M")}


def check_layout(layout: Any) -> tuple[int, ...]:
    """The axes of canonical cores in the order of a layout; raise if it is none."""
    if isinstance(layout, str):
        check_choice("layout", layout, LAYOUTS)
        return LAYOUTS[layout]
    axes = [as_integer(axis) for axis in layout] if isinstance(layout, tuple | list) else []
    if sorted(axis for axis in axes if axis is not None) != [0, 1, 2, 3]:
        raise ConventionError(
            f"layout is {layout!r}, expected a name or the numbers 0, 1, 2, 3 in some order"
        )
    return tuple([axis for axis in axes if axis is not None])


@dataclass(frozen=True, kw_only=True)
class TTLinear(Spec):
    """``y = x W + b``, W a tensor train.

    Parameters
    ----------
    layout : str or sequence of 4 ints
        How cores are stored: a name in `ttref.oracle.LAYOUTS`, or the axes of the canonical core
        (left rank, input mode, output mode, right rank) in the stored order.
    bias : bool
    """

    kind: ClassVar[str] = "tt_linear"
    multilinear: ClassVar[bool] = True

    layout: str | tuple[int, ...] = "canonical"
    bias: bool = True

    def __post_init__(self) -> None:
        check_layout(self.layout)
        check_flag("bias", self.bias)

    @property
    def train(self) -> Train:
        """The cores as they are stored."""
        return Train("N", "M", check_layout(self.layout))

    @property
    def params(self) -> Signature:
        return {"cores": self.train} | ({"bias": "M"} if self.bias else {})

    @property
    def inputs(self) -> Signature:
        return {"x": "B N"}

    def forward(
        self, params: dict[str, Tree], inputs: dict[str, Tree]
    ) -> tuple[dict[str, Tree], contracts.Cache]:
        cores = self.train.to_canonical(params["cores"])
        y, cache = TT_LINEAR.forward({**params, "cores": cores}, inputs["x"])
        return {"y": y}, cache

    def backward(self, upstream: dict[str, Tree], cache: contracts.Cache) -> dict[str, Tree]:
        dparams, dx = TT_LINEAR.backward(upstream["y"], cache)
        return {**dparams, "cores": self.train.to_stored(dparams["cores"]), "x": dx}

    def draw_sizes(self, rng: np.random.Generator) -> Sizes:
        return draw_affine_sizes(rng)


def draw_affine_sizes(rng: np.random.Generator) -> Sizes:
    """Draw a train, the sizes of its matrix, and a batch that is none of them."""
    batch = int(rng.integers(2, 4))
    structure = draw_train(rng, unlike=(batch,))
    n, m, _ = structure
    return {"B": batch, "N": prod(n), "M": prod(m), "cores": structure}


class EmbeddingCache(NamedTuple):
    """What ``backward`` reads."""

    affine: contracts.Cache  # of the train on unit vectors


@dataclass(frozen=True, kw_only=True)
class TTEmbedding(Spec):
    """Rows of a matrix that is a tensor train: ``y_b = W[rows_b]``.

    Parameters
    ----------
    layout : str or sequence of 4 ints
        As of `TTLinear`.
    """

    kind: ClassVar[str] = "tt_embedding"
    multilinear: ClassVar[bool] = True

    layout: str | tuple[int, ...] = "canonical"

    def __post_init__(self) -> None:
        check_layout(self.layout)

    @property
    def train(self) -> Train:
        """The cores as they are stored."""
        return Train("N", "M", check_layout(self.layout))

    @property
    def params(self) -> Signature:
        return {"cores": self.train}

    @property
    def inputs(self) -> Signature:
        return {"rows": "B"}

    @property
    def selects(self) -> tuple[str, ...]:
        return ("rows",)

    def forward(
        self, params: dict[str, Tree], inputs: dict[str, Tree]
    ) -> tuple[dict[str, Tree], contracts.Cache]:
        cores = self.train.to_canonical(params["cores"])
        units = unit_vectors(inputs["rows"], prod(core.shape[1] for core in cores), cores[0])
        y, cache = TT_LINEAR.forward({"cores": cores}, units)
        return {"y": y}, EmbeddingCache(cache)

    def backward(self, upstream: dict[str, Tree], cache: contracts.Cache) -> dict[str, Tree]:
        dparams, _ = TT_LINEAR.backward(upstream["y"], cache.affine)
        return {"cores": self.train.to_stored(dparams["cores"])}

    def draw_sizes(self, rng: np.random.Generator) -> Sizes:
        return draw_affine_sizes(rng)

    def draw_choice(self, name: str, shape: Any, sizes: Sizes, rng: np.random.Generator) -> Array:
        return rng.integers(0, sizes["N"], sizes["B"])  # a row may come twice


def unit_vectors(rows: Array, count: int, like: Array) -> Array:
    """The unit vectors of these numbers of rows, as numbers of the kind of `like`."""
    check_selection("rows", rows, count)
    xp = namespace(rows)
    units = xp.expand_dims(rows, axis=1) == xp.arange(count)
    if holds_objects(like):
        return np.asarray(units.astype(int), dtype=object)
    return xp.astype(units, like.dtype)


def check_selection(name: str, numbers: Array, count: int) -> None:
    """Raise unless these are integers from 0 to count - 1."""
    if not namespace(numbers).isdtype(numbers.dtype, "integral"):
        raise DtypeError(f"{name} has dtype {numbers.dtype}, expected integers")
    outside = [int(number) for number in numbers if not 0 <= number < count]
    if outside:
        raise ConventionError(f"{name} has {outside[0]}, expected numbers from 0 to {count - 1}")
