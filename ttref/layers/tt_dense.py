"""TT-dense layer: ``y = act(x W + b)`` with W a tensor train (Novikov et al. 2015)."""

from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any, ClassVar

from ttref.checks import check_choice
from ttref.errors import ShapeError
from ttref.fast import tt_linear
from ttref.layers.activation import check_activation
from ttref.layers.affine import Affine
from ttref.tt.check import as_structure, core_shapes
from ttref.tt.init import INITIALIZERS
from ttref.tt.matrix import from_dense


@dataclass(frozen=True, init=False)
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
    init : str
        glorot (as in t3f), he, lecun, normal, glorot_uniform (TT_RNN), xavier (TensorNet-TF) or
        orthogonal (Theano).
    bias_init : float
        What b starts from.

    Raises
    ------
    ShapeError, RankError, ConventionError
        If the modes and ranks do not make a train, or a name does not exist.

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

    in_modes: tuple[int, ...]
    out_modes: tuple[int, ...]
    ranks: tuple[int, ...]

    op: ClassVar[Any] = tt_linear
    weights: ClassVar[str] = "cores"

    def __init__(
        self,
        in_modes,
        out_modes,
        ranks,
        bias=True,
        activation=None,
        init="glorot",
        bias_init=0.0,
    ):
        in_modes, out_modes, ranks = as_structure(in_modes, out_modes, ranks)
        check_choice("init", init, INITIALIZERS)
        check_activation(activation)
        self._set(in_modes=in_modes, out_modes=out_modes, ranks=ranks)
        self._set(bias=bias, activation=activation, initializer=init, bias_init=bias_init)

    @classmethod
    def from_dense(
        cls, matrix, in_modes, out_modes, max_rank=None, rel_error=None, bias=None, **options
    ):
        """The layer of a dense matrix's TT-SVD, and its parameters.

        Parameters
        ----------
        matrix : array, shape ``(N, M)``
        in_modes, out_modes, max_rank, rel_error
            As in `tt.from_dense`.
        bias : array, shape ``(M,)``, optional
        **options
            Of the layer.

        Returns
        -------
        layer : TTDense
        params : dict
            With cores of one root mean square.
        """
        W = from_dense(matrix, in_modes, out_modes, max_rank, rel_error).balance()
        layer = cls(in_modes, out_modes, W.ranks, bias=bias is not None, **options)
        params = {"cores": W.cores}
        return layer, params if bias is None else params | {"bias": bias}

    def __str__(self):
        n, m = self.sizes
        return f"TTDense({n} -> {m}, ranks {'-'.join(map(str, self.ranks))})"

    @cached_property
    def core_shapes(self):
        """The d core shapes ``(r_{k-1}, n_k, m_k, r_k)``."""
        return core_shapes(self.in_modes, self.out_modes, self.ranks)

    @property
    def sizes(self):
        return prod(self.in_modes), prod(self.out_modes)

    @property
    def num_weights(self):
        return sum(map(prod, self.core_shapes))

    def draw_weights(self, rng, dtype, xp):
        draw = INITIALIZERS[self.initializer]
        return draw(self.in_modes, self.out_modes, self.ranks, rng, dtype=dtype, xp=xp).cores

    def check_weights(self, weights):
        cores = weights.cores if isinstance(weights, tt_linear.Prepared) else weights
        shapes = tuple(tuple(core.shape) for core in cores)
        if shapes != self.core_shapes:
            raise ShapeError(f"cores have shapes {shapes}, expected {self.core_shapes}")

    def prepare(self, params, batch):
        self.check_params(params)
        return params | {"cores": tt_linear.prepare(params["cores"], batch)}
