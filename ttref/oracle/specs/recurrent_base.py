"""What recurrent layers share: their options, and the map to the canonical storage of a scan."""

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from ttref import contracts, scan
from ttref.arrays import namespace
from ttref.cells.cell import ACTIVATION_NAMES, Cell
from ttref.checks import check_choice, check_flag
from ttref.contracts import Array, Operator, Tree
from ttref.errors import ConventionError, ShapeError
from ttref.oracle.specs.affine import KERNELS
from ttref.oracle.specs.any_order import LINEAR
from ttref.oracle.specs.axes import Signature, Sizes, rearrange
from ttref.oracle.specs.base import Spec
from ttref.oracle.specs.drawing import draw_different
from ttref.oracle.specs.gates import Columns, GateMap, gate_order

BIASES = ("none", "one", "two")
TIMES = ("BTN", "TBN")
ORDERS = ("processing", "time")
MASKS = ("one", "each")
RATIONAL = ("identity", "relu", "hard_sigmoid", "hard_sigmoid_sixth")
UNITS = {"hard_sigmoid": 5, "hard_sigmoid_sixth": 3}  # whose multiples, and halves, have dyadic y
KEPT = 1.25  # what a dropout mask of a fifth multiplies with


class Cache(NamedTuple):
    """What ``backward`` reads."""

    scan: contracts.Cache
    weights: contracts.Cache  # of how the parameters were brought to canonical storage
    state_given: bool


@dataclass(frozen=True, kw_only=True)
class Recurrent(Spec):
    """What all recurrent layers share; the last state is a result too.

    Inputs that may be absent: ``state``, the state before the first step, ``(h,)`` or ``(h, c)``;
    ``mask``, False where a step is padding; ``input_mask`` and ``recurrent_mask``, which multiply x
    and h (dropout).

    Parameters
    ----------
    activation : str
        Of the candidate, or of an RNN's output: a name in `ttref.cells.cell.ACTIVATION_NAMES`.
    recurrent_activation : str
        Of the gates of GRU and LSTM: ``"sigmoid"``, ``"hard_sigmoid"`` (slope 1/5),
        ``"hard_sigmoid_sixth"`` (slope 1/6).
    gates : str
        The order of the gates: of z, r and h, or n, of a GRU; of i, f, c, or g, and o of an LSTM.
    recurrent : str
        How the recurrent matrix is stored: ``"in out"``, (u, g u), or ``"out in"``, as in torch.
    bias : str
        ``"none"``; ``"one"``; or ``"two"``, of the input and of the recurrent map. In a GRU that
        resets after the product, the second one is inside of the reset.
    time : str
        The axes of x and y, ``"BTN"`` or ``"TBN"``; those of the mask are alike.
    at_padding : str
        The output where a step is padding: ``"repeat"`` the one before, or ``"zero"``.
    go_backwards : bool
        Whether the last step is taken first.
    outputs : str
        Whether outputs stand in the order of ``"processing"`` (Keras) or of ``"time"`` (torch).
    return_sequences : bool
        Whether y has the outputs of all steps, or that of the last one taken.
    recurrent_mask : str
        Whether the recurrent mask is ``"one"`` for all gates, (B, u), or one for ``"each"``,
        (g, B, u).
    """

    optional: ClassVar[tuple[str, ...]] = ("state", "mask", "input_mask", "recurrent_mask")
    constants: ClassVar[tuple[str, ...]] = ("input_mask", "recurrent_mask")
    pulled: ClassVar[tuple[str, ...]] = ("y", "last_state")
    canonical_gates: ClassVar[str] = "h"
    states: ClassVar[int] = 1

    activation: str = "tanh"
    recurrent: str = "in out"
    bias: str = "one"
    time: str = "BTN"
    at_padding: str = "repeat"
    go_backwards: bool = False
    outputs: str = "processing"
    return_sequences: bool = True
    recurrent_mask: str = "one"

    def __post_init__(self) -> None:
        for name in ("activation", "recurrent_activation"):
            if hasattr(self, name):
                check_choice(name, getattr(self, name), ACTIVATION_NAMES)
        gate_order(self.gate_letters, self.canonical_gates)
        check_choice("recurrent", self.recurrent, KERNELS)
        check_choice("bias", self.bias, BIASES)
        check_choice("time", self.time, TIMES)
        check_choice("at_padding", self.at_padding, scan.AT_PADDING)
        check_choice("outputs", self.outputs, ORDERS)
        check_choice("recurrent_mask", self.recurrent_mask, MASKS)
        check_flag("go_backwards", self.go_backwards)
        check_flag("return_sequences", self.return_sequences)

    @property
    def gate_letters(self) -> Any:
        """The order of the gates, as it was given."""
        return getattr(self, "gates", self.canonical_gates)

    @property
    def columns(self) -> Columns:
        """Where the gates are among the columns."""
        order = gate_order(self.gate_letters, self.canonical_gates)
        return Columns(order, self.canonical_gates)

    @property
    def width(self) -> str:
        """The number of columns, g u, as text."""
        count = len(self.canonical_gates)
        return f"{count}u" if count > 1 else "u"

    @property
    def activations(self) -> tuple[str, ...]:
        """The activations of the cell."""
        gate = getattr(self, "recurrent_activation", None)
        return (self.activation,) if gate is None else (self.activation, gate)

    @property
    def irrational(self) -> str:
        return next((name for name in self.activations if name not in RATIONAL), "")

    @property
    def lattice(self) -> bool:
        return not self.irrational

    @property
    def selects(self) -> tuple[str, ...]:
        return ("mask",)

    def units(self, sizes: Sizes) -> dict[str, int]:
        unit = 1
        for name in set(self.activations):
            unit *= UNITS.get(name, 1)
        names = ("x", "bias", "recurrent", "recurrent_cores", "recurrent_bias", *self.pulled)
        return dict.fromkeys(names, unit) if unit > 1 else {}

    @property
    def weights(self) -> Signature:
        """The shapes of the input map's and of the recurrent matrix."""
        raise NotImplementedError

    @property
    def params(self) -> Signature:
        names = ("bias", "recurrent_bias")[: BIASES.index(self.bias)]
        return {**self.weights, **dict.fromkeys(names, self.width)}

    @property
    def inputs(self) -> Signature:
        mask = self.time.replace("N", "")
        recurrent_mask = "B u" if self.recurrent_mask == "one" else f"{len(self.columns.gates)} B u"
        return {
            "x": " ".join(self.time),
            "state": ("B u",) * self.states,
            "mask": " ".join(mask),
            "input_mask": "B N",
            "recurrent_mask": recurrent_mask,
        }

    @property
    def cell(self) -> Cell:
        """The cell of `ttref.cells`."""
        raise NotImplementedError

    @property
    def input_map(self) -> Operator:
        """The operator from the input of a step to all columns."""
        return LINEAR

    def enter(self, params: dict[str, Tree]) -> tuple[dict[str, Tree], contracts.Cache]:
        """The weights, without biases, in canonical storage, and what `leave` reads."""
        raise NotImplementedError

    def leave(self, dparams: dict[str, Tree], cache: contracts.Cache) -> dict[str, Tree]:
        """The cotangents of the weights, as they are stored."""
        raise NotImplementedError

    def add_to_gates(self, recurrent: Array) -> Array | None:
        """What is added to the canonical columns, a vector of the kind of `recurrent`."""
        return None

    def forward(
        self, params: dict[str, Tree], inputs: dict[str, Tree]
    ) -> tuple[dict[str, Tree], contracts.Cache]:
        # parameters
        weights, weights_cache = self.enter(params)
        if "bias" in params:
            weights["bias"] = params["bias"]
        if "recurrent_bias" in params and self.cell.takes_recurrent_bias:
            weights["recurrent_bias"] = self.columns.to_canonical(params["recurrent_bias"])
        elif "recurrent_bias" in params:
            weights["bias"] = params["bias"] + params["recurrent_bias"]

        # inputs
        x = rearrange(inputs["x"], self.time, "BTN")
        if not self.return_sequences and x.shape[1] == 0:
            raise ShapeError("x has no steps, so there is no last output; use return_sequences")
        mask = inputs.get("mask")
        recurrent_mask = inputs.get("recurrent_mask")
        if recurrent_mask is not None and self.recurrent_mask == "each":
            recurrent_mask = self.columns.masks_to_canonical(recurrent_mask)

        # all steps
        found, cache = scan.forward(
            self.cell,
            weights,
            x,
            input_map=GateMap(
                self.input_map, self.columns, self.add_to_gates(weights["recurrent"])
            ),
            state=inputs.get("state"),
            mask=None if mask is None else rearrange(mask, self.time.replace("N", ""), "BT"),
            input_mask=inputs.get("input_mask"),
            recurrent_mask=recurrent_mask,
            go_backwards=self.go_backwards,
            at_padding=self.at_padding if self.return_sequences else "repeat",
        )
        ys, state = found
        y = self._order(ys) if self.return_sequences else ys[:, -1, :]
        results = {"y": y, "last_state": state}
        return results, Cache(cache, weights_cache, "state" in inputs)

    def backward(self, upstream: dict[str, Tree], cache: contracts.Cache) -> dict[str, Tree]:
        dy = upstream["y"]
        steps = len(cache.scan.steps)
        dys = self._disorder(dy) if self.return_sequences else _at_last_step(dy, steps)
        dparams, dx, dstate = scan.backward((dys, upstream["last_state"]), cache.scan)
        found = self.leave(dparams, cache.weights)
        if "bias" in dparams:
            found["bias"] = dparams["bias"]
        if self.bias == "two":
            of_cell = "recurrent_bias" in dparams
            found["recurrent_bias"] = (
                self.columns.to_stored(dparams["recurrent_bias"]) if of_cell else dparams["bias"]
            )
        found["x"] = rearrange(dx, "BTN", self.time)
        return found | ({"state": dstate} if cache.state_given else {})

    def name_results(self, found: Any) -> dict[str, Tree]:
        if isinstance(found, dict):
            return found
        if not isinstance(found, tuple | list):
            return {"y": found}
        if len(found) != 2:
            raise ConventionError(
                f"forward returned {len(found)} results, expected y, or y and the last state"
            )
        state = found[1] if isinstance(found[1], tuple | list) else (found[1],)
        return {"y": found[0], "last_state": tuple(state)}

    def _order(self, ys: Array) -> Array:
        """Outputs (B, T, u) of the scan in the layer's order of steps and of axes."""
        if self.go_backwards and self.outputs == "time":
            ys = ys[:, ::-1, :]
        return rearrange(ys, "BTN", self.time)

    def _disorder(self, dy: Array) -> Array:
        """The inverse of `_order`."""
        dys = rearrange(dy, self.time, "BTN")
        return dys[:, ::-1, :] if self.go_backwards and self.outputs == "time" else dys

    def draw_sizes(self, rng: np.random.Generator) -> Sizes:
        return {**draw_different(rng, "B N u"), "T": self.draw_steps(rng)}

    def draw_steps(self, rng: np.random.Generator) -> int:
        """Draw the number of steps, now and then 0."""
        return (
            int(rng.choice([0, 1, 2, 2, 3, 3]))
            if self.return_sequences
            else 1 + int(rng.integers(3))
        )

    def draw_choice(self, name: str, shape: Any, sizes: Sizes, rng: np.random.Generator) -> Array:
        return rng.random([sizes[letter] for letter in shape.split()]) < 0.7

    def draw_number(self, name: str, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
        if name in self.constants:
            return KEPT * rng.integers(0, 2, shape)
        return rng.standard_normal(shape)

    def draw_whole(
        self, name: str, shape: tuple[int, ...], rng: np.random.Generator, most: int
    ) -> Array:
        if name in self.constants:
            return rng.integers(1, 3, shape)
        return super().draw_whole(name, shape, rng, most)


def _at_last_step(dy: Array, steps: int) -> Array:
    """The cotangent of all outputs, of which only the last is used."""
    xp = namespace(dy)
    zero = xp.zeros_like(dy)
    return xp.stack([zero] * (steps - 1) + [dy], axis=1)
