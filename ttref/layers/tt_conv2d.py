"""TT-convolution layers (Garipov et al. 2016), on images and on sequences."""

from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any, ClassVar

import numpy as np

from ttref import contracts, fast, ops, tt
from ttref.arrays import check_numeric, check_shape, namespace
from ttref.checks import as_integer, check_choice, check_count
from ttref.contracts import Array, Modes, Ranks, Shape, Tree
from ttref.errors import RankError, ShapeError
from ttref.layers.convolution import Convolution, Windows, xavier
from ttref.layers.weighted import with_bias
from ttref.ops.tt_conv2d import split_filters
from ttref.ops.windows import Sizes, as_pair
from ttref.tt.check import Structure, as_ranks, as_structure
from ttref.tt.init import INITIALIZERS

FORMS: dict[str, Any] = {
    "full": fast.tt_conv2d,
    "sweep": ops.tt_conv2d,
    "direct": fast.tt_conv2d,
}


class TTConvolution(Convolution):
    """A convolution whose kernel is a tensor train; a subclass says in how many dimensions."""

    in_modes: Modes
    out_modes: Modes
    ranks: Ranks
    form: str

    weights: ClassVar[tuple[str, ...]] = ("filters", "cores")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("form", self.form, FORMS)
        check_choice("initializer", self.initializer, INITIALIZERS)
        self._set(**self.structure._asdict())

    @cached_property
    def structure(self) -> Structure:
        """Checked modes, and ranks as `TTConv2d` describes them."""
        in_modes, out_modes, _ = as_structure(self.in_modes, self.out_modes, 1)
        if self.form != "direct":
            return Structure(in_modes, out_modes, _as_ranks(self.ranks, len(in_modes)))
        if len(in_modes) != 1:
            raise ShapeError(f"in_modes is {in_modes}, expected one mode, [C], in the direct form")
        return Structure(in_modes, out_modes, as_ranks(self.ranks, 4))

    @property
    def channels(self) -> tuple[int, int]:
        return prod(self.in_modes), prod(self.out_modes)

    @cached_property
    def has_filters(self) -> bool:
        """Whether the spatial filters are a parameter."""
        return self.form != "direct" and prod(self.windows.kernel) * self.structure.ranks[0] > 1

    @cached_property
    def matrix_structure(self) -> Structure:
        """Modes and ranks of the tensor train of the matrix (kh kw C, S)."""
        in_modes, out_modes, ranks = self.structure
        if self.form == "direct":
            return Structure((*self.windows.kernel, *in_modes, 1), (1, 1, 1, *out_modes), ranks)
        if not self.has_filters:
            return self.structure
        pixels = prod(self.windows.kernel)
        return Structure((pixels, *in_modes), (1, *out_modes), (1, *ranks))

    @cached_property
    def weight_shapes(self) -> dict[str, Any]:
        """Shapes of the filters, if there are any, and of the cores."""
        shapes = tt.core_shapes(*self.matrix_structure)
        if not self.has_filters:
            return {"cores": shapes}
        return {"filters": (*self.windows.kernel, self.structure.ranks[0]), "cores": shapes[1:]}

    def draw_weights(self, rng: np.random.Generator) -> dict[str, Tree]:
        if self.initializer == "xavier":
            return self._xavier(rng)
        W = INITIALIZERS[self.initializer](*self.matrix_structure, rng)
        return split_filters({"cores": W.cores}, self.weight_shapes.get("filters"))

    def _xavier(self, rng: np.random.Generator) -> dict[str, Tree]:
        """Each core by the fans of the matrix as which TensorNet-TF stores it."""
        shapes = self.weight_shapes
        in_modes, out_modes, ranks = self.structure
        kernel = self.windows.kernel

        # The cores: matrices (r_{k-1}, p_k r_k) of the direct form, else (m_k r_k, r_{k-1} n_k).
        if self.form == "direct":
            stored = Structure((1, 1, 1, 1), (*kernel, *self.channels), ranks)
        else:
            first = ranks[0] * in_modes[0]
            stored = Structure((first, *in_modes[1:]), out_modes, (1, *ranks[1:]))
        pairs = zip(tt.xavier(*stored, rng).cores, shapes["cores"], strict=True)
        weights = {"cores": tuple([core.reshape(shape) for core, shape in pairs])}
        if not self.has_filters:
            return weights

        # The filters.
        fans = prod(kernel), prod(kernel) * ranks[0]
        return {"filters": xavier(rng, shapes["filters"], fans), **weights}

    def apply(self, params: Tree, x: Array) -> tuple[Array, contracts.Cache]:
        return FORMS[self.form].forward(params, x, *self.windows)

    def backward(
        self, dy: Array, cache: contracts.Cache, input_gradient: bool = True
    ) -> tuple[Tree, Array | None]:
        return FORMS[self.form].backward(dy, cache, input_gradient)


@dataclass(frozen=True)
class TTConv2d(TTConvolution):
    """Convolution of images (B, H, W, C) to (B, H_out, W_out, S), its kernel a tensor train.

    Parameters
    ----------
    kernel : int or pair of ints
        ``(kh, kw)``.
    in_modes, out_modes : sequences of d ints
        ``C = n_1 * ... * n_d`` and ``S = m_1 * ... * m_d``.
    ranks : int or sequence of d + 1 ints
        ``(r_0, r_1, ..., r_{d-1}, 1)``, r_0 the number of spatial filters; an int r stands for
        ``(r, ..., r, 1)``. Of the direct form ``(1, r_1, r_2, r_3, 1)``, or an int.
    strides : int or pair of ints
    padding : str
        ``"SAME"`` as TensorFlow pads, or ``"VALID"``.
    dilation : int or pair of ints
    bias : bool
        Whether a bias, zero at first, is added.
    form : str
        ``"full"`` multiplies the kernel out and convolves once; ``"sweep"`` applies filters and
        cores one after the other, with the same result; ``"direct"`` is the TT-tensor of the
        kernel with modes ``(kh, kw, C, S)``, ``in_modes`` ``[C]`` and ``out_modes`` ``[S]``.
    initializer : str
        xavier (TensorNet-TF: each core by its own fans), or one of `TTDense`, for the matrix
        ``(kh kw C, S)``: he and lecun have their usual variance.

    Raises
    ------
    ShapeError, RankError, ConventionError
        If modes and ranks do not make a tensor train, or an option does not exist.

    Notes
    -----
    Parameters are ``{"filters": (kh, kw, r_0), "cores": d arrays (r_{k-1}, n_k, m_k, r_k), "bias":
    (S,)}``. Where ``kh kw r_0 == 1`` the filter is the number 1 and no parameter. The direct form
    has no filters and four cores, ``(1, kh, 1, r_1), (r_1, kw, 1, r_2), (r_2, C, 1, r_3), (r_3, 1,
    S, 1)``.

    Examples
    --------
    >>> layer = TTConv2d(3, [4, 4, 4], [4, 8, 4], [23, 23, 23, 1])
    >>> layer.num_params, layer.dense_params
    (26095, 73856)
    """

    kernel: Sizes
    in_modes: Modes
    out_modes: Modes
    ranks: Ranks
    strides: Sizes = 1
    padding: str = "SAME"
    dilation: Sizes = 1
    bias: bool = True
    form: str = "full"
    initializer: str = "xavier"

    def __post_init__(self) -> None:
        self._set(**self.windows._asdict())
        super().__post_init__()

    @classmethod
    def from_dense(
        cls,
        kernel: Array,
        in_modes: Modes,
        out_modes: Modes,
        max_rank: int | Modes | None = None,
        rel_error: float | None = None,
        bias: Array | None = None,
        *,
        strides: Sizes = 1,
        padding: str = "SAME",
        dilation: Sizes = 1,
        form: str = "full",
        initializer: str = "xavier",
    ) -> tuple["TTConv2d", dict[str, Any]]:
        """The layer of a dense kernel's TT-SVD, and its parameters.

        Parameters
        ----------
        kernel : array, shape ``(kh, kw, C, S)``
        in_modes, out_modes : sequences of d ints
        max_rank : int or sequence of d ints, optional
            Bound on ``r_0, ..., r_{d-1}``.
        rel_error : float, optional
            Bound on the relative error of the kernel in the Frobenius norm, unless `max_rank`
            allows less than it takes.
        bias : array, shape ``(S,)``, optional
        strides, padding, dilation, initializer
            Options of the layer.
        form : str
            ``"full"`` or ``"sweep"``.

        Returns
        -------
        layer : TTConv2d
        params : dict
            With filters and cores of one root mean square.
        """
        check_choice("form", form, ("full", "sweep"))
        kernel = _check_kernel(kernel, 2, in_modes, out_modes)
        ranks, params = _decompose(kernel, in_modes, out_modes, max_rank, rel_error)
        layer = cls(
            kernel.shape[:2],
            in_modes,
            out_modes,
            ranks,
            strides=strides,
            padding=padding,
            dilation=dilation,
            bias=bias is not None,
            form=form,
            initializer=initializer,
        )
        return layer, with_bias(params, kernel, bias, kernel.shape[-1])

    @cached_property
    def windows(self) -> Windows:
        """Checked sizes of the windows."""
        kernel = as_pair("kernel", self.kernel)
        strides = as_pair("strides", self.strides)
        return Windows(kernel, strides, self.padding, as_pair("dilation", self.dilation))


@dataclass(frozen=True)
class TTConv1d(TTConvolution):
    """Convolution of sequences (B, W, C) to (B, W_out, S): `TTConv2d` on images of one row.

    Parameters
    ----------
    kernel : int
    in_modes, out_modes, ranks
        As those of `TTConv2d`.
    stride : int
    padding : str
    dilation : int
    bias, form, initializer
        As those of `TTConv2d`.

    Examples
    --------
    >>> TTConv1d(5, [2, 4], [4, 4], 3, stride=2).out_shape((100, 8))
    (50, 16)
    """

    kernel: int
    in_modes: Modes
    out_modes: Modes
    ranks: Ranks
    stride: int = 1
    padding: str = "SAME"
    dilation: int = 1
    bias: bool = True
    form: str = "full"
    initializer: str = "xavier"

    def __post_init__(self) -> None:
        for name in ("kernel", "stride", "dilation"):
            self._set(**{name: check_count(name, getattr(self, name))})
        super().__post_init__()

    @classmethod
    def from_dense(
        cls,
        kernel: Array,
        in_modes: Modes,
        out_modes: Modes,
        max_rank: int | Modes | None = None,
        rel_error: float | None = None,
        bias: Array | None = None,
        *,
        stride: int = 1,
        padding: str = "SAME",
        dilation: int = 1,
        form: str = "full",
        initializer: str = "xavier",
    ) -> tuple["TTConv1d", dict[str, Any]]:
        """As `TTConv2d.from_dense`, for a kernel of shape ``(kw, C, S)``."""
        check_choice("form", form, ("full", "sweep"))
        kernel = _check_kernel(kernel, 1, in_modes, out_modes)
        ranks, params = _decompose(kernel[None], in_modes, out_modes, max_rank, rel_error)
        layer = cls(
            kernel.shape[0],
            in_modes,
            out_modes,
            ranks,
            stride=stride,
            padding=padding,
            dilation=dilation,
            bias=bias is not None,
            form=form,
            initializer=initializer,
        )
        return layer, with_bias(params, kernel, bias, kernel.shape[-1])

    @cached_property
    def windows(self) -> Windows:
        """Windows on an image of one row."""
        return Windows((1, self.kernel), (1, self.stride), self.padding, (1, self.dilation))

    def apply(self, params: Tree, x: Array) -> tuple[Array, contracts.Cache]:
        check_shape("x", x, (None, None, self.channels[0]))
        y, cache = super().apply(params, namespace(x).expand_dims(x, axis=1))
        return y[:, 0, :, :], cache

    def backward(
        self, dy: Array, cache: contracts.Cache, input_gradient: bool = True
    ) -> tuple[Tree, Array | None]:
        check_shape("dy", dy, (None, None, self.channels[1]))
        dy = namespace(dy).expand_dims(dy, axis=1)
        dparams, dx = super().backward(dy, cache, input_gradient)
        return dparams, dx if dx is None else dx[:, 0, :, :]

    def out_shape(self, in_shape: Shape) -> Shape:
        if len(in_shape) != 2:
            raise ShapeError(
                f"{self} takes samples of shape (W, {self.channels[0]}), got {tuple(in_shape)}"
            )
        return super().out_shape((1, *in_shape))[1:]


def _as_ranks(ranks: Ranks, d: int) -> tuple[int, ...]:
    """``(r_0, ..., r_{d-1}, 1)``; an int r stands for all but the last."""
    if as_integer(ranks) is not None:
        found: tuple[Any, ...] = (*(ranks,) * d, 1)
    else:
        found = tuple(ranks) if np.iterable(ranks) and not isinstance(ranks, str | dict) else ()
    if len(found) != d + 1 or as_integer(found[-1]) != 1:
        raise RankError(
            f"ranks are {ranks!r}, expected (r_0, ..., r_{d - 1}, 1): as many as cores, and a 1"
        )
    return as_ranks((1, *found), d + 1)[1:]


def _check_kernel(kernel: Array, axes: int, in_modes: Modes, out_modes: Modes) -> Array:
    """`kernel` as an array, if it has so many axes of a window and channels of these modes."""
    kernel = check_numeric("kernel", kernel)
    structure = as_structure(in_modes, out_modes, 1)
    channels = prod(structure.in_modes), prod(structure.out_modes)
    check_shape("kernel", kernel, (None,) * axes + channels)
    return kernel


def _decompose(
    kernel: Array,
    in_modes: Modes,
    out_modes: Modes,
    max_rank: int | Modes | None,
    rel_error: float | None,
) -> tuple[tuple[int, ...], dict[str, Any]]:
    """Ranks and parameters of the TT-SVD of a dense kernel, shape ``(kh, kw, C, S)``."""
    # The matrix (kh kw C, S), pixels being its first mode.
    kernel_size = kernel.shape[:2]
    C, S = kernel.shape[2:]
    pixels = prod(kernel_size)
    matrix = namespace(kernel).reshape(kernel, (pixels * C, S))
    W = tt.from_dense(matrix, (pixels, *in_modes), (1, *out_modes), max_rank, rel_error)

    # Its first core becomes the filters. Where it is a number, it goes into the next core.
    ranks = W.ranks[1:]
    if pixels * ranks[0] > 1:
        return ranks, split_filters({"cores": W.balance().cores}, (*kernel_size, ranks[0]))
    filters, first, *others = W.balance().cores
    return ranks, {"cores": tt.TTMatrix([filters[0, 0, 0, 0] * first, *others]).balance().cores}
