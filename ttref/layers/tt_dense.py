"""TT-dense layer: ``y = act(x W + b)`` with W a tensor train (Novikov et al. 2015)."""

from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any, ClassVar

import numpy as np

from ttref.arrays import check_numeric
from ttref.checks import check_choice
from ttref.contracts import Array, Cores, Modes, Ranks, Tree
from ttref.fast import tt_linear
from ttref.layers.affine import Affine
from ttref.layers.weighted import with_bias
from ttref.tt.check import Structure, as_structure, core_shapes
from ttref.tt.init import INITIALIZERS
from ttref.tt.matrix import from_dense


@dataclass(frozen=True)
class TTDense(Affine):
    """Fully connected layer whose matrix is a `TTMatrix`.

    Parameters
    ----------
    in_modes, out_modes : sequences of d ints
        ``(n_1, ..., n_d)`` and ``(m_1, ..., m_d)``, C order, mode 1 slowest.
    ranks : int or sequence of d + 1 ints
        TT-ranks ``(1, r_1, ..., r_{d-1}, 1)``; an int r stands for ``(1, r, ..., r, 1)``.
    bias : bool
        Whether b is added.
    activation : str, optional
        Name of an `Activation`.
    initializer : str
        glorot (as in t3f), he, lecun, normal, glorot_uniform (TT_RNN), xavier (TensorNet-TF) or
        orthogonal (Theano).
    bias_init : float
        First value of all entries of b.

    Raises
    ------
    ShapeError, RankError, ConventionError
        If the modes and ranks do not make a tensor train, or an option does not exist.

    Notes
    -----
    Parameters are ``{"cores": d arrays (r_{k-1}, n_k, m_k, r_k), "bias": (M,)}``; x has shape
    (B, N), y (B, M).

    Examples
    --------
    >>> layer = TTDense([7, 4, 7, 4], [5, 5, 5, 5], 4, activation="relu")
    >>> layer.num_params, layer.dense_params
    (1725, 490625)
    """

    in_modes: Modes
    out_modes: Modes
    ranks: Ranks
    bias: bool = True
    activation: str | None = None
    initializer: str = "glorot"
    bias_init: float = 0.0

    op: ClassVar[Any] = tt_linear
    weights: ClassVar[tuple[str, ...]] = ("cores",)

    def __post_init__(self) -> None:
        self._set(**self.structure._asdict())
        check_choice("initializer", self.initializer, INITIALIZERS)
        super().__post_init__()

    @classmethod
    def from_dense(
        cls,
        matrix: Array,
        in_modes: Modes,
        out_modes: Modes,
        max_rank: int | None = None,
        rel_error: float | None = None,
        bias: Array | None = None,
        *,
        activation: str | None = None,
        initializer: str = "glorot",
        bias_init: float = 0.0,
    ) -> tuple["TTDense", dict[str, Any]]:
        """The layer of a dense matrix's TT-SVD, and its parameters.

        Parameters
        ----------
        matrix : array, shape ``(N, M)``
        in_modes, out_modes, max_rank, rel_error
            As in `tt.from_dense`.
        bias : array, shape ``(M,)``, optional
        activation, initializer, bias_init
            Options of the layer.

        Returns
        -------
        layer : TTDense
        params : dict
            With cores of one root mean square.
        """
        matrix = check_numeric("matrix", matrix)
        W = from_dense(matrix, in_modes, out_modes, max_rank, rel_error).balance()
        params = with_bias({"cores": W.cores}, matrix, bias, W.shape[1])
        has_bias = bias is not None
        layer = cls(in_modes, out_modes, W.ranks, has_bias, activation, initializer, bias_init)
        return layer, params

    def __str__(self) -> str:
        n, m = self.sizes
        return f"TTDense({n} -> {m}, ranks {'-'.join(map(str, self.structure.ranks))})"

    @cached_property
    def structure(self) -> Structure:
        """Checked modes and ranks."""
        return as_structure(self.in_modes, self.out_modes, self.ranks)

    @property
    def sizes(self) -> tuple[int, int]:
        return prod(self.in_modes), prod(self.out_modes)

    @property
    def weight_shape(self) -> tuple[tuple[int, ...], ...]:
        return core_shapes(*self.structure)

    def draw_weights(self, rng: np.random.Generator) -> Cores:
        return INITIALIZERS[self.initializer](*self.structure, rng).cores

    def prepare(self, params: Tree, batch: int) -> Tree:
        self.check_params(params)
        return params | {"cores": tt_linear.prepare(params["cores"], batch)}
