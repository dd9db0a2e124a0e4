"""What recurrent layers share: options, parameters, dropout, padding, states."""

from dataclasses import MISSING, dataclass, fields
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from ttref.arrays import check_shape, namespace
from ttref.cells import GRUCell, LSTMCell, RNNCell
from ttref.checks import check_choice, check_count, check_number
from ttref.errors import ConventionError, ShapeError
from ttref.fast import recurrence
from ttref.fast.recurrence.activations import ACTIVATION_NAMES
from ttref.layers import initializers
from ttref.layers.weighted import Weighted
from ttref.rng import generator, keep_mask, to_device


class Cache(NamedTuple):
    """What ``backward`` reads."""

    recurrent: Any  # of the recurrence
    steps: int  # T
    state_given: bool


@dataclass(frozen=True, init=False, kw_only=True)
class Recurrent(Weighted):
    """A cell over time, as `ttref.scan` defines it; a subclass says which, and of what input map.

    Parameters
    ----------
    activation : str
        Of the candidate, or of an RNN's output: identity, relu, tanh, sigmoid or hard_sigmoid.
    recurrent_activation : str
        Of the gates of GRU and LSTM; hard_sigmoid, as in TT_RNN, by default.
    reset : str
        Whether a GRU resets ``"before"`` the product with U (TT_RNN, Keras 1) or ``"after"``
        (torch, cuDNN, Keras 2.1 and later, with a bias of its own).
    unit_forget_bias : bool
        Whether the forget gate's bias of an LSTM starts at 1; biases start at 0 else.
    bias : bool
    init, recurrent_init : str
        Initialisers of the input map and of U.
    dropout, recurrent_dropout : float
        Rates at which features of x, and of h before its product with U, are dropped in training.
        Masks are drawn once per batch from `rng`, the same for all steps (Gal and Ghahramani 2016).
    one_recurrent_mask : bool
        One mask of h for all gates (TT_RNN), or one for each.
    drop_input : bool
        False reproduces TT_RNN, whose SimpleRNN and LSTM drop no input whatever the rate.
    return_sequences : bool
        Whether y has the outputs of all steps, (B, T, u), or of the last one taken, (B, u).
    return_state : bool
        Whether `forward` returns ``(y, state)`` for y, and `backward` takes ``(dy, dstate)``.
    go_backwards : bool
        Whether the last step is taken first; y is in the order of processing.
    stateful : bool
        For a sequence that comes in pieces: `forward` returns ``(y, state)``, to be passed with
        the next piece, or not, which resets it; `backward` takes dy, no gradient crosses from
        piece to piece. States are values that the caller keeps, so `Sequential` and `fit`
        refuse such a layer (and one with `return_state`) by its name.
    truncate : int, optional
        Steps beyond which no gradient of a state reaches back.
    checkpoint_every : int, optional
        Keep a state every so many steps for `backward`, and compute the rest anew: less memory,
        the same gradients.
    mask_value : float, optional
        A step is padding where all its features have this value (0 in TT_RNN); a layer sees for
        itself which steps are, so it needs nothing from the layer before in a `Sequential`.

    Raises
    ------
    ShapeError, RankError, ConventionError
        If a size, a mode, a rank or an option is none.
    """

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

    def _set_options(self, init, recurrent_init, options):
        """Set and check all fields that have a default, for ``__init__`` only."""
        known = {f.name: f.default for f in fields(self) if f.default is not MISSING}
        for name in options:
            check_choice(f"option of {type(self).__name__}", name, [*known, "init"])
        self._set(**known | options)
        self._set(initializer=init, recurrent_initializer=recurrent_init)
        check_choice("recurrent_init", recurrent_init, initializers.INITIALIZERS)
        for name in ("activation", "recurrent_activation"):
            check_choice(name, getattr(self, name, "tanh"), ACTIVATION_NAMES)
        for name in ("dropout", "recurrent_dropout"):
            check_number(name, getattr(self, name), "a number in [0, 1)", lambda v: 0 <= v < 1)
        for name in ("truncate", "checkpoint_every"):
            if getattr(self, name) is not None:
                check_count(name, getattr(self, name))
        self.cell  # noqa: B018  # raises if an option of the cell is none

    @property
    def cell(self):
        """The cell, of `ttref.cells`."""
        raise NotImplementedError

    @property
    def input_map(self):
        """Operator of the input map."""
        raise NotImplementedError

    @property
    def _width(self):
        return self.cell.gates * self.sizes[1]

    @cached_property
    def _names(self):
        optional = {"bias": self.bias, "recurrent_bias": self._has_recurrent_bias}
        return {self.weights, "recurrent", *(name for name, has in optional.items() if has)}

    @property
    def _has_recurrent_bias(self):
        return self.bias and self.cell.takes_recurrent_bias

    def init(self, rng, dtype="float32", xp=None):
        rng, u = generator(rng), self.sizes[1]
        params = {self.weights: self.draw_weights(rng, dtype, xp)}
        if self.bias:
            starts = np.repeat(self._bias_starts, u)
            params["bias"] = to_device(starts, dtype, xp)
        shape = u, self._width
        kernel = initializers.kernel(self.recurrent_initializer, rng, shape, dtype, xp)
        params["recurrent"] = kernel
        if self._has_recurrent_bias:
            params["recurrent_bias"] = initializers.bias(0, self._width, dtype, xp)
        return params

    @property
    def _bias_starts(self):
        """What the bias of each gate starts from."""
        return [0] * self.cell.gates

    def forward(self, params, x, train=False, rng=None, mask=None, state=None):
        """Apply the layer.

        Parameters
        ----------
        params : dict
            ``"cores"`` or ``"kernel"``, ``"bias"`` of shape (g u,), ``"recurrent"`` (u, g u),
            ``"recurrent_bias"`` (g u,); as `init` makes it.
        x : array, shape ``(B, T, N)``
        train, rng
            As in `Layer.forward`.
        mask : array of bool, shape ``(B, T)``, optional
            False where a step is padding: the state is kept and the output repeated, zero before
            the first step that is none. By default what `mask_value` says.
        state : tuple of arrays (B, u), optional
            ``(h,)``, or ``(h, c)`` of an LSTM; zeros by default. `backward` returns its cotangents
            too, ``(dparams, dx, dstate)``, unless the layer is stateful.

        Returns
        -------
        y : array, shape ``(B, u)`` or ``(B, T, u)``; with the state if the options say so
        cache : Cache
        """
        self._check(params, x)
        if mask is None and self.mask_value is not None:
            mask = namespace(x).any(x != self.mask_value, axis=-1)
        input_mask, recurrent_mask = self._dropout_masks(x, train, rng)
        (ys, after), cache = recurrence.forward(
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
            checkpoint_every=self.checkpoint_every,
        )
        y = ys if self.return_sequences else ys[:, -1, :]
        state_given = state is not None and not self.stateful
        y = (y, after) if self.return_state or self.stateful else y
        return y, Cache(cache, x.shape[1], state_given)

    def backward(self, dy, cache, input_gradient=True):
        """Pull back to ``(dparams, dx)``, with dstate where `forward` was given a state."""
        dy, dstate = dy if self.return_state and not self.stateful else (dy, None)
        if not self.return_sequences and dy is not None:
            check_shape("dy", dy, (None, self.sizes[1]))
            xp, dy = namespace(dy), dy[:, None, :]
            before = xp.broadcast_to(xp.zeros_like(dy), (dy.shape[0], cache.steps - 1, dy.shape[2]))
            dy = xp.concat([before, dy], axis=1)
        found = recurrence.backward((dy, dstate), cache.recurrent, input_gradient)
        return found if cache.state_given else found[:2]

    def _check(self, params, x):
        self.check_params(params)
        n, u = self.sizes
        check_shape("recurrent", params["recurrent"], (u, self._width))
        check_shape("x", x, (None, None, n))
        if x.shape[1] == 0 and not self.return_sequences:
            raise ShapeError(f"x has shape {tuple(x.shape)}: without steps there is no last output")

    def _dropout_masks(self, x, train, rng):
        """Masks of x, (B, N), and of h, (B, u) or (g, B, u); None where nothing is dropped."""
        rate = self.dropout if self.drop_input else 0
        if not train or not (rate or self.recurrent_dropout):
            return None, None
        if rng is None:
            raise ConventionError("dropout in training needs rng, a numpy.random.Generator")
        (n, u), batch = self.sizes, x.shape[0]
        shape = (batch, u) if self.one_recurrent_mask else (self.cell.gates, batch, u)
        return (
            keep_mask(rng, (batch, n), rate, like=x) if rate else None,
            keep_mask(rng, shape, self.recurrent_dropout, like=x)
            if self.recurrent_dropout
            else None,
        )

    @property
    def in_shape(self):
        return None, self.sizes[0]

    def out_shape(self, in_shape):
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
    def num_params(self):
        return self.num_weights + self._other_params

    @property
    def dense_params(self):
        return self.sizes[0] * self._width + self._other_params

    @property
    def _other_params(self):
        return self._width * (self.bias + self.sizes[1] + self._has_recurrent_bias)


@dataclass(frozen=True, init=False, kw_only=True)
class Elman(Recurrent):
    """With the cell of an RNN."""

    @cached_property
    def cell(self):
        return RNNCell(self.activation)


@dataclass(frozen=True, init=False, kw_only=True)
class Gated(Recurrent):
    """With the cell of a GRU."""

    recurrent_activation: str = "hard_sigmoid"
    reset: str = "before"

    @cached_property
    def cell(self):
        return GRUCell(self.activation, self.recurrent_activation, self.reset)


@dataclass(frozen=True, init=False, kw_only=True)
class LongShortTerm(Recurrent):
    """With the cell of an LSTM."""

    recurrent_activation: str = "hard_sigmoid"
    unit_forget_bias: bool = True

    @cached_property
    def cell(self):
        return LSTMCell(self.activation, self.recurrent_activation)

    @property
    def _bias_starts(self):
        return [0, int(self.unit_forget_bias), 0, 0]
