"""Algebra of TT-matrices: sum, product and rounding, by the dense matrix of the result.

Cores of a result are not unique, so y is the matrix that they stand for: somebody's cores are
multiplied out, exactly, and compared with it.
"""

from dataclasses import dataclass
from fractions import Fraction
from math import prod
from typing import Any, ClassVar, NamedTuple

import numpy as np

from ttref import contracts
from ttref.arithmetic import rational
from ttref.checks import check_finite_positive
from ttref.contracts import Array, Cores, Tree
from ttref.errors import ShapeError
from ttref.oracle.specs.affine import check_layout, unit_vectors
from ttref.oracle.specs.any_order import TT_LINEAR
from ttref.oracle.specs.axes import Signature, Sizes, Train, times
from ttref.oracle.specs.base import Spec
from ttref.oracle.specs.drawing import draw_modes, draw_train
from ttref.testing.report import Failure
from ttref.tt.check import Structure, check_cores

SLACK = Fraction(1, 1024)  # of the bound on a rounded train, for what its roundings add


class Cache(NamedTuple):
    """What ``backward`` reads."""

    first: contracts.Cache
    second: contracts.Cache | None


@dataclass(frozen=True, kw_only=True)
class Algebra(Spec):
    """What the operations share.

    Parameters
    ----------
    layout : str or sequence of 4 ints
        How cores are stored, as of `ttref.oracle.specs.affine.TTLinear`.
    """

    layout: str | tuple[int, ...] = "canonical"

    def __post_init__(self) -> None:
        check_layout(self.layout)

    def train(self, rows: str, columns: str, name: str) -> Train:
        """The cores of an operand as they are stored."""
        return Train(rows, columns, check_layout(self.layout), name)

    def name_results(self, found: Any) -> dict[str, Tree]:
        """The dense matrix of cores, computed exactly and rounded once."""
        if not isinstance(found, tuple | list):
            return super().name_results(found)
        dtype = str(np.asarray(found[0]).dtype)
        train = self.train("N", "M", "")
        lifted = train.to_canonical([rational.lift(core) for core in found])
        check_cores(lifted)
        rows = prod(core.shape[1] for core in lifted)
        units = unit_vectors(np.arange(rows), rows, lifted[0])
        matrix, _ = TT_LINEAR.forward({"cores": lifted}, units)
        return {"y": rational.to_float(matrix, dtype)}

    def expand(self, name: str, cores: Cores) -> tuple[Array, contracts.Cache]:
        """The dense matrix of an operand, and what `contract` reads."""
        train: Any = self.params[name]
        canonical = train.to_canonical(cores)
        rows = prod(core.shape[1] for core in canonical)
        units = unit_vectors(np.arange(rows), rows, canonical[0])
        return TT_LINEAR.forward({"cores": canonical}, units)

    def contract(self, name: str, dmatrix: Array, cache: contracts.Cache) -> Cores:
        """The cotangents of an operand's cores, of that of its matrix."""
        train: Any = self.params[name]
        dparams, _ = TT_LINEAR.backward(dmatrix, cache)
        return train.to_stored(dparams["cores"])


@dataclass(frozen=True, kw_only=True)
class TTSum(Algebra):
    """``A + B``."""

    kind: ClassVar[str] = "tt_sum"
    multilinear: ClassVar[bool] = True

    @property
    def params(self) -> Signature:
        return {"a": self.train("N", "M", "a"), "b": self.train("N", "M", "b")}

    def forward(
        self, params: dict[str, Tree], inputs: dict[str, Tree]
    ) -> tuple[dict[str, Tree], contracts.Cache]:
        a, a_cache = self.expand("a", params["a"])
        b, b_cache = self.expand("b", params["b"])
        return {"y": a + b}, Cache(a_cache, b_cache)

    def backward(self, upstream: dict[str, Tree], cache: contracts.Cache) -> dict[str, Tree]:
        dy = upstream["y"]
        return {"a": self.contract("a", dy, cache.first), "b": self.contract("b", dy, cache.second)}

    def draw_sizes(self, rng: np.random.Generator) -> Sizes:
        train = draw_train(rng)
        n, m, ranks = train
        others = (1, *[int(rng.integers(2, 4)) for _ in ranks[1:-1]], 1)
        return {"N": prod(n), "M": prod(m), "a": train, "b": Structure(n, m, others)}


@dataclass(frozen=True, kw_only=True)
class TTProduct(Algebra):
    """``A B``, the columns of A being the rows of B."""

    kind: ClassVar[str] = "tt_product"
    multilinear: ClassVar[bool] = True

    @property
    def params(self) -> Signature:
        return {"a": self.train("N", "K", "a"), "b": self.train("K", "M", "b")}

    def forward(
        self, params: dict[str, Tree], inputs: dict[str, Tree]
    ) -> tuple[dict[str, Tree], contracts.Cache]:
        a, a_cache = self.expand("a", params["a"])
        train: Any = self.params["b"]
        y, b_cache = TT_LINEAR.forward({"cores": train.to_canonical(params["b"])}, a)
        return {"y": y}, Cache(a_cache, b_cache)

    def backward(self, upstream: dict[str, Tree], cache: contracts.Cache) -> dict[str, Tree]:
        train: Any = self.params["b"]
        dparams, da = TT_LINEAR.backward(upstream["y"], cache.second)
        return {
            "a": self.contract("a", da, cache.first),
            "b": train.to_stored(dparams["cores"]),
        }

    def draw_sizes(self, rng: np.random.Generator) -> Sizes:
        train = draw_train(rng, most=2)
        n, m, ranks = train
        others = draw_modes(rng, len(m))
        more = (1, *[int(rng.integers(2, 4)) for _ in ranks[1:-1]], 1)
        sizes = {"N": prod(n), "K": prod(m), "M": prod(others)}
        return {**sizes, "a": train, "b": Structure(m, others, more)}


@dataclass(frozen=True, kw_only=True)
class TTRounding(Algebra):
    """A train of smaller ranks near A: ``|A - B| <= rel_error |A|``, Frobenius norms.

    Many trains fulfil that, so the results are A itself, y, and the square of the bound, and
    `check_rounded` decides about somebody's cores.

    Parameters
    ----------
    layout : str or sequence of 4 ints
        Of the cores of A and of B.
    rel_error : number
    """

    kind: ClassVar[str] = "tt_rounding"
    pulled: ClassVar[tuple[str, ...]] = ()

    rel_error: float = 0.25

    def __post_init__(self) -> None:
        super().__post_init__()
        check_finite_positive("rel_error", self.rel_error)

    @property
    def params(self) -> Signature:
        return {"a": self.train("N", "M", "a")}

    @property
    def lattice(self) -> bool:
        return False

    def forward(
        self, params: dict[str, Tree], inputs: dict[str, Tree]
    ) -> tuple[dict[str, Tree], contracts.Cache]:
        a, _ = self.expand("a", params["a"])
        squared = np.asarray(np.sum(a * a))
        return {
            "y": a,
            "squared_bound": times(times(squared, self.rel_error), self.rel_error),
        }, None

    def draw_sizes(self, rng: np.random.Generator) -> Sizes:
        train = draw_train(rng)
        n, m, _ = train
        return {"N": prod(n), "M": prod(m), "a": train}

    def check_rounded(self, params: dict[str, Tree], rounded: Cores) -> Failure | None:
        """Decide, exactly, whether cores are within the bound.

        Parameters
        ----------
        params : dict
            ``{"a": cores}``.
        rounded : sequence of arrays
            The cores of B, stored like those of A.

        Returns
        -------
        Failure or None
            None if ``|A - B|`` is at most the bound and 1/1024 of it.

        Raises
        ------
        ShapeError
            If B is not of the size of A.
        """
        a, _ = self.expand("a", tuple(rational.lift(core) for core in params["a"]))
        b, _ = self.expand("a", tuple(rational.lift(core) for core in rounded))
        if a.shape != b.shape:
            raise ShapeError(f"the rounded matrix has shape {b.shape}, expected {a.shape}")
        error = rational.as_fraction(np.sum((a - b) * (a - b)))
        allowed = rational.as_fraction(np.sum(a * a)) * Fraction(self.rel_error) ** 2
        if error <= allowed * (1 + SLACK) ** 2:
            return None
        return Failure("|A - B|", float(error) ** 0.5, None, allowed=float(allowed) ** 0.5)
