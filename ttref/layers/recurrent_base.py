"""What recurrent layers share: options, parameters, dropout, padding, states."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np

from ttref import contracts
from ttref.arrays import check_shape, namespace, plain
from ttref.cells import Cell, GRUCell, LSTMCell, RNNCell
from ttref.checks import check_choice, check_count, check_flag, check_number, check_rate
from ttref.contracts import Array, Operator, Shape, Tree
from ttref.errors import ConventionError, ShapeError
from ttref.fast import recurrence
from ttref.fast.recurrence.activations import ACTIVATION_NAMES
from ttref.layers import initializers
from ttref.layers.masking import find_mask
from ttref.layers.weighted import Weighted
from ttref.rng import check_generator, keep_mask
from ttref.scan import AT_PADDING

FLAGS = (
    "bias",
    "one_recurrent_mask",
    "drop_input",
    "return_sequences",
    "return_state",
    "go_backwards",
    "stateful",
)


class NotANumber(float):
    """NaN as an option: equal to itself, and with a repr that Python reads."""

    def __new__(cls) -> Self:
        return super().__new__(cls, "nan")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, float) and math.isnan(other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash(NotANumber)

    def __repr__(self) -> str:
        return "float('nan')"


class Cache(NamedTuple):
    """What ``backward`` reads."""

    recurrent: contracts.Cache  # of the recurrence
    steps: int  # T
    state_given: bool


@dataclass(frozen=True, kw_only=True)
class Recurrent(Weighted):
    """A cell over time, as `ttref.scan` defines it; a subclass says which, and of what input map.

    Parameters
    ----------
    activation : str
        Of the candidate, or of an RNN's output: identity, relu, tanh, sigmoid, hard_sigmoid (slope
        1/5) or hard_sigmoid_sixth (slope 1/6).
    recurrent_activation : str
        Of the gates of GRU and LSTM; hard_sigmoid, as in TT_RNN, by default. Keras 3 has
        hard_sigmoid_sixth under the name hard_sigmoid.
    reset : str
        Whether a GRU resets ``"before"`` the product with U (TT_RNN, Keras 1) or ``"after"``
        (torch, cuDNN, Keras 2.1 and later, with a bias of its own).
    unit_forget_bias : bool
        Whether the forget gate's bias of an LSTM starts at 1; the other biases start at 0.
    bias : bool
        Whether the input map has a bias.
    initializer, recurrent_initializer : str
        Initialisers of the input map and of U. A layer with tensor trains takes those of
        `ttref.tt` for them.
    dropout, recurrent_dropout : float
        Rates at which features of x, and of h before its product with U, are dropped in training.
        Masks are drawn once per batch from `rng`, the same for all steps (Gal and Ghahramani 2016).
    one_recurrent_mask : bool
        Whether all gates share one mask of h (TT_RNN), or each gate has its own.
    drop_input : bool
        False reproduces TT_RNN, whose SimpleRNN and LSTM drop no input whatever the rate.
    return_sequences : bool
        Whether y has the outputs of all steps, (B, T, u), or of the last one taken, (B, u).
    return_state : bool
        Whether `forward` returns ``(y, state)`` for y, and `backward` takes ``(dy, dstate)``.
    go_backwards : bool
        Whether the last step is taken first. Then y is in the order of processing.
    stateful : bool
        For a sequence that comes in pieces: `forward` returns ``(y, state)``. Pass that state with
        the next piece to go on, or none to start anew. `backward` takes dy, and no gradient
        crosses from piece to piece. States are values that the caller keeps, so `Sequential` and
        `fit` refuse such a layer (and one with `return_state`) by its name.
    truncate : int, optional
        Steps beyond which no gradient of a state reaches back.
    checkpoint_every : int, optional
        Keep a state every so many steps for `backward`, and compute the rest anew: less memory,
        the same gradients.
    mask_value : float, optional
        A step is padding where all its features have this value (0 in TT_RNN; NaN is one too). In
        a `Sequential` these steps are looked for in the input of the network, and all its layers
        know them: one layer with a `mask_value` is enough.
    at_padding : str
        With `return_sequences`, the output where a step is padding: ``"repeat"`` the output before
        (Keras, TT_RNN), or ``"zero"`` (torch's packed sequences). Without, y is the output of the
        last step that is not padding.

    Raises
    ------
    ShapeError, RankError, ConventionError
        If a size, a mode, a rank or an option does not exist or is out of its range.
    """

    takes_mask: ClassVar[bool] = True

    activation: str = "tanh"
    bias: bool = True
    initializer: str = "glorot"
    recurrent_initializer: str = "orthogonal"
    dropout: float = 0
    recurrent_dropout: float = 0
    one_recurrent_mask: bool = True
    drop_input: bool = True
    return_sequences: bool = False
    return_state: bool = False
    go_backwards: bool = False
    stateful: bool = False
    truncate: int | None = None
    checkpoint_every: int | None = None
    mask_value: float | None = None
    at_padding: str = "repeat"

    def __post_init__(self) -> None:
        check_choice("activation", self.activation, ACTIVATION_NAMES)
        check_choice("at_padding", self.at_padding, AT_PADDING)
        check_choice(
            "recurrent_initializer", self.recurrent_initializer, self.recurrent_initializers
        )
        for name in FLAGS:
            check_flag(name, getattr(self, name))
        for name in ("dropout", "recurrent_dropout"):
            self._set(**{name: plain(check_rate(name, getattr(self, name)))})
        for name in ("truncate", "checkpoint_every"):
            if getattr(self, name) is not None:
                self._set(**{name: check_count(name, getattr(self, name))})
        if self.mask_value is not None:
            self._set(mask_value=_as_mask_value(self.mask_value))

    @property
    def keeps_time(self) -> bool:
        return self.return_sequences

    @property
    def padding_value(self) -> float | None:
        return self.mask_value

    def out_mask(self, mask: Array) -> Array | None:
        if not self.return_sequences:
            return None
        return namespace(mask).flip(mask, axis=1) if self.go_backwards else mask

    @property
    def cell(self) -> Cell:
        """The cell, of `ttref.cells`."""
        raise NotImplementedError

    @property
    def input_map(self) -> Operator:
        """Operator of the input map."""
        raise NotImplementedError

    @property
    def sizes(self) -> tuple[int, int]:
        """``(N, u)``: features of x, and units."""
        raise NotImplementedError

    @property
    def weight_shape(self) -> Any:
        """Shape of the matrix of the input map, (N, g u), or shapes of its cores."""
        raise NotImplementedError

    def draw_weights(self, rng: np.random.Generator) -> Tree:
        """Draw the matrix of the input map in float64."""
        raise NotImplementedError

    @property
    def recurrent_initializers(self) -> dict[str, Any]:
        """What `recurrent_initializer` names."""
        return initializers.INITIALIZERS

    @property
    def recurrent_shape(self) -> Any:
        """Shape of U, (u, g u), or shapes of its cores."""
        return self.sizes[1], self._width

    def draw_recurrent(self, rng: np.random.Generator) -> Tree:
        """Draw U in float64."""
        return self.recurrent_initializers[self.recurrent_initializer](rng, self.recurrent_shape)

    @property
    def _width(self) -> int:
        """``g u``: the columns of all gates."""
        return self.cell.gates * self.sizes[1]

    def parameter_shapes(self) -> dict[str, Any]:
        (weights,) = self.weights
        width = self._width
        shapes = {weights: self.weight_shape}
        if self.bias:
            shapes["bias"] = (width,)
        shapes["recurrent"] = self.recurrent_shape
        if self.bias and self.cell.takes_recurrent_bias:
            shapes["recurrent_bias"] = (width,)
        return shapes

    def initial_value(self, name: str, rng: np.random.Generator) -> Tree:
        if name == "recurrent":
            return self.draw_recurrent(rng)
        if name == "bias":
            return np.repeat(self._bias_starts, self.sizes[1])
        if name == "recurrent_bias":
            return initializers.constant(0, self._width)
        return self.draw_weights(rng)

    @property
    def _bias_starts(self) -> list[int]:
        """First value of the bias of each gate."""
        return [0] * self.cell.gates

    def forward(
        self,
        params: Tree,
        x: Array,
        train: bool = False,
        rng: np.random.Generator | None = None,
        mask: Array | None = None,
        state: Sequence[Array] | None = None,
    ) -> tuple[Any, Cache]:
        """Apply the layer.

        Parameters
        ----------
        params : dict
            ``"cores"`` or ``"kernel"``, ``"bias"`` of shape (g u,), ``"recurrent"`` (u, g u) or
            its cores, ``"recurrent_bias"`` (g u,); as `init` makes it.
        x : array, shape ``(B, T, N)``
        train, rng
            As in `Layer.forward`.
        mask : array of bool, shape ``(B, T)``, optional
            False where a step is padding: the state is kept, and the output is as `at_padding`
            says, zero before the first step that is none. By default what `mask_value` says.
        state : tuple of arrays (B, u), optional
            ``(h,)``, or ``(h, c)`` of an LSTM; zeros by default. `backward` returns its cotangents
            too, ``(dparams, dx, dstate)``, unless the layer is stateful.

        Returns
        -------
        y : array, shape ``(B, u)`` or ``(B, T, u)``; with the state if the options say so
        cache : Cache
        """
        # Checks, and what is masked.
        self._check(params, x)
        if mask is None and self.mask_value is not None:
            mask = find_mask(x, self.mask_value)
        input_mask, recurrent_mask = self._dropout_masks(x, train, rng)

        # All steps.
        results, cache = recurrence.forward(
            self.cell,
            params,
            x,
            input_map=self.input_map,
            state=state,
            mask=mask,
            input_mask=input_mask,
            recurrent_mask=recurrent_mask,
            go_backwards=self.go_backwards,
            truncate=self.truncate,
            at_padding=self.at_padding if self.return_sequences else "repeat",
            checkpoint_every=self.checkpoint_every,
        )
        ys, after = results

        # What the options ask for.
        y = ys if self.return_sequences else ys[:, -1, :]
        state_given = state is not None and not self.stateful
        y = (y, after) if self.return_state or self.stateful else y
        return y, Cache(cache, x.shape[1], state_given)

    def backward(self, dy: Any, cache: Cache, input_gradient: bool = True) -> tuple:
        """Pull back to ``(dparams, dx)``, with dstate where `forward` was given a state."""
        dstate = None
        if self.return_state and not self.stateful:
            dy, dstate = dy
        if not self.return_sequences and dy is not None:
            dy = self._at_last_step(dy, cache.steps)
        found = recurrence.backward((dy, dstate), cache.recurrent, input_gradient)
        return found if cache.state_given else found[:2]

    def _at_last_step(self, dy: Array, steps: int) -> Array:
        """The cotangent of all outputs, of which only the last one is used."""
        check_shape("dy", dy, (None, self.sizes[1]))
        xp = namespace(dy)
        dy = dy[:, None, :]
        before = xp.broadcast_to(xp.zeros_like(dy), (dy.shape[0], steps - 1, dy.shape[2]))
        return xp.concat([before, dy], axis=1)

    def _check(self, params: Tree, x: Array) -> None:
        """Raise unless the arguments of `forward` fit."""
        self.check_params(params)
        check_shape("x", x, (None, None, self.sizes[0]))
        if x.shape[1] == 0 and not self.return_sequences:
            raise ShapeError(f"x has shape {tuple(x.shape)}: without steps there is no last output")

    def _dropout_masks(
        self, x: Array, train: bool, rng: np.random.Generator | None
    ) -> tuple[Array | None, Array | None]:
        """Masks of x, (B, N), and of h, (B, u) or (g, B, u); None where nothing is dropped."""
        rate = self.dropout if self.drop_input else 0
        if not train or not (rate or self.recurrent_dropout):
            return None, None
        rng = check_generator(rng, "dropout")

        # First the mask of x is drawn, then that of h.
        n, u = self.sizes
        batch = x.shape[0]
        input_mask = keep_mask(rng, (batch, n), rate, like=x) if rate else None
        if not self.recurrent_dropout:
            return input_mask, None
        shape = (batch, u) if self.one_recurrent_mask else (self.cell.gates, batch, u)
        return input_mask, keep_mask(rng, shape, self.recurrent_dropout, like=x)

    @property
    def in_shape(self) -> Shape:
        return None, self.sizes[0]

    def out_shape(self, in_shape: Shape) -> Shape:
        if self.return_state or self.stateful:
            option = "stateful" if self.stateful else "return_state"
            raise ConventionError(
                f"{self} has {option}=True: its state is a value that neither Sequential nor fit "
                "hands on; call its forward with state=..., or leave the option out"
            )
        n, u = self.sizes
        if len(in_shape) != 2 or in_shape[1] != n:
            raise ShapeError(f"{self} takes samples of shape (T, {n}), got {tuple(in_shape)}")
        return (in_shape[0], u) if self.return_sequences else (u,)

    @property
    def num_dense_weights(self) -> int:
        return self.sizes[0] * self._width


def _as_mask_value(value: Any) -> float:
    """Checked value of padding, which may be NaN."""
    check_number("mask_value", value, "a finite number or nan, or None for no padding", _not_inf)
    return NotANumber() if math.isnan(value) else plain(value)


def _not_inf(value: Any) -> bool:
    return not math.isinf(value)


@dataclass(frozen=True, kw_only=True)
class WithRNNCell(Recurrent):
    """A recurrent layer whose cell is that of an RNN."""

    @cached_property
    def cell(self) -> RNNCell:
        """The cell."""
        return RNNCell(self.activation)


@dataclass(frozen=True, kw_only=True)
class WithGRUCell(Recurrent):
    """A recurrent layer whose cell is that of a GRU."""

    recurrent_activation: str = "hard_sigmoid"
    reset: str = "before"

    def __post_init__(self) -> None:
        check_choice("recurrent_activation", self.recurrent_activation, ACTIVATION_NAMES)
        check_choice("reset", self.reset, ("before", "after"))
        super().__post_init__()

    @cached_property
    def cell(self) -> GRUCell:
        """The cell."""
        return GRUCell(self.activation, self.recurrent_activation, self.reset)


@dataclass(frozen=True, kw_only=True)
class WithLSTMCell(Recurrent):
    """A recurrent layer whose cell is that of an LSTM."""

    recurrent_activation: str = "hard_sigmoid"
    unit_forget_bias: bool = True

    def __post_init__(self) -> None:
        check_choice("recurrent_activation", self.recurrent_activation, ACTIVATION_NAMES)
        check_flag("unit_forget_bias", self.unit_forget_bias)
        super().__post_init__()

    @cached_property
    def cell(self) -> LSTMCell:
        """The cell."""
        return LSTMCell(self.activation, self.recurrent_activation)

    @property
    def _bias_starts(self) -> list[int]:
        return [0, int(self.unit_forget_bias), 0, 0]
