"""TT-convolution layers (Garipov et al. 2016), on images and on sequences."""

from dataclasses import dataclass
from functools import cached_property
from math import prod
from numbers import Integral

from ttref import fast, ops, tree, tt
from ttref.arrays import check_shape, namespace
from ttref.checks import check_choice, check_count
from ttref.errors import RankError, ShapeError
from ttref.layers.convolution import Convolution, xavier
from ttref.ops.tt_conv2d import split_filters
from ttref.rng import check_real_dtype, to_device
from ttref.tt.check import as_ranks, as_structure
from ttref.tt.init import INITIALIZERS

FORMS = {"full": fast.tt_conv2d, "sweep": ops.tt_conv2d, "direct": fast.tt_conv2d}


@dataclass(frozen=True, init=False)
class TTConv2d(Convolution):
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
    strides, dilation : int or pair of ints
    padding : str
        ``"SAME"`` as TensorFlow pads, or ``"VALID"``.
    bias : bool
        Whether a bias, zero at first, is added.
    form : str
        ``"full"`` multiplies the kernel out and convolves once; ``"sweep"`` applies filters and
        cores one after the other, with the same result; ``"direct"`` is the TT-tensor of the
        kernel with modes ``(kh, kw, C, S)``, ``in_modes`` ``[C]`` and ``out_modes`` ``[S]``.
    init : str
        xavier (TensorNet-TF: each core by its own fans), or one of `TTDense`, for the matrix
        ``(kh kw C, S)``: he and lecun have their usual variance.

    Raises
    ------
    ShapeError, RankError, ConventionError
        If modes and ranks do not make a train, or an option does not exist.

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

    in_modes: tuple[int, ...]
    out_modes: tuple[int, ...]
    ranks: tuple[int, ...]
    form: str

    def __init__(
        self,
        kernel,
        in_modes,
        out_modes,
        ranks,
        strides=1,
        padding="SAME",
        dilation=1,
        bias=True,
        form="full",
        init="xavier",
    ):
        self._set_windows(kernel, strides, padding, dilation)
        check_choice("form", form, FORMS)
        check_choice("init", init, INITIALIZERS)
        in_modes, out_modes, _ = as_structure(in_modes, out_modes, 1)
        if form != "direct":
            ranks = _as_ranks(ranks, len(in_modes))
        elif len(in_modes) == 1:
            ranks = as_ranks(ranks, 4)
        else:
            raise ShapeError(f"in_modes is {in_modes}, expected one mode, [C], in the direct form")
        self._set(in_modes=in_modes, out_modes=out_modes, ranks=ranks, form=form)
        self._set(bias=bias, initializer=init)

    @classmethod
    def from_dense(
        cls, kernel, in_modes, out_modes, max_rank=None, rel_error=None, bias=None, **options
    ):
        """The layer of a dense kernel's TT-SVD, and its parameters.

        Parameters
        ----------
        kernel : array, shape ``(kh, kw, C, S)``; of `TTConv1d` ``(kw, C, S)``
        in_modes, out_modes : sequences of d ints
        max_rank : int or sequence of d ints, optional
            Bound on ``r_0, ..., r_{d-1}``.
        rel_error : float, optional
            Bound on the relative error of the kernel in the Frobenius norm, unless `max_rank`
            allows less than it takes.
        bias : array, shape ``(S,)``, optional
        **options
            Of the layer: full or sweep, its form.

        Returns
        -------
        layer : TTConv2d
        params : dict
            With filters and cores of one root mean square.
        """
        check_choice("form", options.get("form", "full"), ("full", "sweep"))
        ranks, params = _decomposed(kernel, in_modes, out_modes, max_rank, rel_error)
        if bias is not None:
            params["bias"] = bias
        options |= {"bias": bias is not None}
        return cls(cls._size(kernel), in_modes, out_modes, ranks, **options), params

    @staticmethod
    def _size(kernel):
        return kernel.shape[:2]

    @property
    def channels(self):
        return prod(self.in_modes), prod(self.out_modes)

    @cached_property
    def has_filters(self):
        """Whether the spatial filters are a parameter."""
        return self.form != "direct" and prod(self.kernel) * self.ranks[0] > 1

    @cached_property
    def train(self):
        """``(in_modes, out_modes, ranks)`` of the matrix (kh kw C, S)."""
        if self.form == "direct":
            return (*self.kernel, *self.in_modes, 1), (1, 1, 1, *self.out_modes), self.ranks
        if not self.has_filters:
            return self.in_modes, self.out_modes, self.ranks
        return (prod(self.kernel), *self.in_modes), (1, *self.out_modes), (1, *self.ranks)

    @cached_property
    def weight_shapes(self):
        shapes = tt.core_shapes(*self.train)
        if not self.has_filters:
            return {"cores": shapes}
        return {"filters": (*self.kernel, self.ranks[0]), "cores": shapes[1:]}

    @property
    def num_params(self):
        return sum(map(prod, tt.core_shapes(*self.train))) + self.bias * self.channels[1]

    def draw_weights(self, rng, dtype, xp):
        if self.initializer == "xavier":
            weights = self._xavier(rng)
        else:
            in_modes, out_modes, ranks = self.train
            train = INITIALIZERS[self.initializer](in_modes, out_modes, ranks, rng)
            weights = {"cores": train.cores}
            if self.has_filters:
                weights = split_filters(weights, self.weight_shapes["filters"])
        check_real_dtype(dtype)
        return tree.map(lambda w: to_device(w, dtype, xp), weights)

    def _xavier(self, rng):
        """Each core by the fans of the matrix as which TensorNet-TF stores it."""
        shapes = self.weight_shapes
        if self.form == "direct":  # matrices (r_{k-1}, p_k r_k)
            modes: tuple = (1, 1, 1, 1)
            sizes, ranks = (*self.kernel, *self.channels), self.ranks
        else:  # (m_k r_k, r_{k-1} n_k)
            modes = (self.ranks[0] * self.in_modes[0], *self.in_modes[1:])
            sizes, ranks = self.out_modes, (1, *self.ranks[1:])
        drawn = tt.xavier(modes, sizes, ranks, rng).cores
        pairs = zip(drawn, shapes["cores"], strict=True)
        weights = {"cores": tuple(core.reshape(shape) for core, shape in pairs)}
        if self.has_filters:
            fans = prod(self.kernel), prod(self.kernel) * self.ranks[0]
            weights = {"filters": xavier(rng, shapes["filters"], fans), **weights}
        return weights

    def apply(self, params, x):
        hyper = self.kernel, self.strides, self.padding, self.dilation
        return FORMS[self.form].forward(params, x, *hyper)

    def backward(self, dy, cache, input_gradient=True):
        return FORMS[self.form].backward(dy, cache, input_gradient)


@dataclass(frozen=True, init=False)
class TTConv1d(TTConv2d):
    """Convolution of sequences (B, W, C) to (B, W_out, S): `TTConv2d` on images of one row.

    Parameters
    ----------
    kernel, stride, dilation : int
    in_modes, out_modes, ranks, padding, bias, form, init
        As those of `TTConv2d`.

    Examples
    --------
    >>> TTConv1d(5, [2, 4], [4, 4], 3, stride=2).out_shape((100, 8))
    (50, 16)
    """

    def __init__(
        self,
        kernel,
        in_modes,
        out_modes,
        ranks,
        stride=1,
        padding="SAME",
        dilation=1,
        bias=True,
        form="full",
        init="xavier",
    ):
        windows = {"kernel": kernel, "strides": stride, "dilation": dilation}
        rows = {name: (1, check_count(name, value)) for name, value in windows.items()}
        super().__init__(
            in_modes=in_modes,
            out_modes=out_modes,
            ranks=ranks,
            padding=padding,
            bias=bias,
            form=form,
            init=init,
            **rows,
        )

    @staticmethod
    def _size(kernel):
        return kernel.shape[0]

    def apply(self, params, x):
        check_shape("x", x, (None, None, self.channels[0]))
        y, cache = super().apply(params, namespace(x).expand_dims(x, axis=1))
        return y[:, 0, :, :], cache

    def backward(self, dy, cache, input_gradient=True):
        check_shape("dy", dy, (None, None, self.channels[1]))
        dy = namespace(dy).expand_dims(dy, axis=1)
        dparams, dx = super().backward(dy, cache, input_gradient)
        return dparams, dx if dx is None else dx[:, 0, :, :]

    def out_shape(self, in_shape):
        if len(in_shape) != 2:
            raise ShapeError(
                f"{self} takes samples of shape (W, {self.channels[0]}), got {tuple(in_shape)}"
            )
        return super().out_shape((1, *in_shape))[1:]


def _as_ranks(ranks, d):
    """``(r_0, ..., r_{d-1}, 1)``; an int r stands for all but the last."""
    ranks = (ranks,) * d + (1,) if isinstance(ranks, Integral) else tuple(ranks)
    if len(ranks) != d + 1 or ranks[-1] != 1:
        raise RankError(
            f"ranks are {ranks}, expected (r_0, ..., r_{d - 1}, 1): as many as cores, and a 1"
        )
    return as_ranks((1, *ranks), d + 1)[1:]


def _decomposed(kernel, in_modes, out_modes, max_rank, rel_error):
    """Ranks and parameters of a dense kernel's TT-SVD."""
    C, S = prod(in_modes), prod(out_modes)
    check_shape("kernel", kernel, (None,) * (kernel.ndim - 2) + (C, S))
    kernel_size = (1, *kernel.shape[:-2])[-2:]
    pixels = prod(kernel_size)
    matrix = namespace(kernel).reshape(kernel, (pixels * C, S))
    train = tt.from_dense(matrix, (pixels, *in_modes), (1, *out_modes), max_rank, rel_error)
    ranks = train.ranks[1:]
    if pixels * ranks[0] > 1:
        return ranks, split_filters({"cores": train.balance().cores}, (*kernel_size, ranks[0]))
    filters, first, *others = train.cores  # the filters are a number
    return ranks, {"cores": tt.TTMatrix([filters[0, 0, 0, 0] * first, *others]).balance().cores}
