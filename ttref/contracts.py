"""Contracts between the parts of ttref, as types: what a caller may rely on.

A `Protocol` is met by shape, not by inheritance: any module with these functions is an `Operator`,
any object with these methods is an `Optimizer`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias, runtime_checkable

import numpy as np

Array: TypeAlias = Any
"""An array of any library that follows the Array API standard, or a NumPy object array of exact
numbers. No common base class exists, so the type is a name for the reader."""

Namespace: TypeAlias = Any
"""The functions of an array library, as `ttref.arrays.namespace` returns them."""

Dtype: TypeAlias = Any
"""A dtype of an array library, or its name: ``"float32"``."""

Tree: TypeAlias = Any
"""A dict or a tuple whose leaves are arrays, to any depth; `ttref.tree` has the functions."""

Params: TypeAlias = Mapping[str, Any]
"""Parameters of an operator by name: arrays, or for ``"cores"`` a sequence of arrays."""

Cores: TypeAlias = Sequence[Array]
"""The d cores of a TT-matrix, core k of shape ``(r_{k-1}, n_k, m_k, r_k)``."""

Modes: TypeAlias = Sequence[int]
"""Sizes ``(n_1, ..., n_d)`` into which one side of a TT-matrix is split, mode 1 slowest."""

Ranks: TypeAlias = int | Sequence[int]
"""TT-ranks ``(1, r_1, ..., r_{d-1}, 1)``; an int r stands for ``(1, r, ..., r, 1)``."""

Seed: TypeAlias = int | np.random.Generator
"""A seed, or the generator that is drawn from."""

Cache: TypeAlias = Any
"""What `forward` keeps for `backward`. Its type is a matter between these two functions."""

Shape: TypeAlias = tuple[int | None, ...]
"""Sizes of the axes of an array; None stands for any size."""


Schedule: TypeAlias = Callable[[int], float]
"""The learning rate as a function of the number of steps taken before (`ttref.schedules`)."""

OptimizerState: TypeAlias = dict[str, Any]
"""``"step"``, the number of steps taken, and vectors in the order of `ttref.tree.ravel`; a vector
that an optimiser does without is None."""


class Kind(NamedTuple):
    """What kind of numbers are computed with, and where: the key of measured costs."""

    device: str  # "cpu" or "gpu"
    dtype: str  # "float32" or "float64"
    basis: str = ""  # by which it is decided how work is cut (`ttref.machine.basis`)

    def __str__(self) -> str:
        return f"{self.device} {self.dtype}"

    @property
    def itemsize(self) -> int:
        """Bytes of a number."""
        return 4 if self.dtype == "float32" else 8


CPU_FLOAT32 = Kind("cpu", "float32")
CPU_FLOAT64 = Kind("cpu", "float64")


class Operator(Protocol):
    """A differentiable function: a module, or an object, with a pair of pure functions.

    `backward` returns the cotangents of the parameters and of the input, in the structure of
    `params` and the shape of `x`. Without `input_gradient` the second one is None.
    """

    def forward(self, params: Tree, x: Array) -> tuple[Array, Cache]:
        """Compute ``(y, cache)``."""

    def backward(
        self, dy: Array, cache: Cache, input_gradient: bool = True
    ) -> tuple[Tree, Array | None]:
        """Pull the cotangent of y back to ``(dparams, dx)``."""


class Cell(Protocol):
    """One step of a recurrent layer, for each row of a batch (`ttref.cells.cell.Cell`)."""

    @property
    def gates(self) -> int:
        """Blocks of u columns that the input map and the recurrent matrix have."""

    @property
    def states(self) -> int:
        """Arrays of a state: 1 for ``(h,)``, 2 for ``(h, c)``."""

    @property
    def takes_recurrent_bias(self) -> bool:
        """Whether the parameters may have a ``"recurrent_bias"``."""

    def forward(
        self,
        params: Mapping[str, Array],
        state: Sequence[Array],
        p: Array,
        recurrent_mask: Array | None = None,
    ) -> tuple[tuple[Array, ...], Cache]:
        """Compute ``(state, cache)``; the first array of the state is the output of the step."""

    def backward(
        self, dstate: Sequence[Array], cache: Cache
    ) -> tuple[dict[str, Array], tuple[Array, ...], Array]:
        """Pull the cotangents of the new state back to ``(dparams, dstate_prev, dp)``."""


class Layer(Protocol):
    """A model that `fit` trains (`ttref.layers.base.Layer` documents each method)."""

    def init(self, rng: Any, dtype: Dtype = "float32", xp: Namespace | None = None) -> Tree:
        """Draw initial parameters."""

    def prepare(self, params: Tree, batch: int) -> Tree:
        """Parameters with which `forward` computes the same, faster, for batches of that size."""

    def forward(
        self, params: Tree, x: Array, train: bool = False, rng: Any = None
    ) -> tuple[Array, Cache]:
        """Compute ``(y, cache)``."""

    def backward(
        self, dy: Array, cache: Cache, input_gradient: bool = True
    ) -> tuple[Tree, Array | None]:
        """Pull the cotangent of y back to ``(dparams, dx)``."""

    def update_state(self, params: Tree, cache: Cache) -> Tree:
        """`params` with their non-trainable state (running statistics) updated."""


class Loss(Protocol):
    """A loss, as a pair of pure functions: those of `ttref.losses`, or one's own for `fit`.

    `prediction` is what the model returns, and `target` the part of the data that belongs to it.
    The loss is a number: the mean over the batch. Weights of samples may be None, and a class mask
    is only given to the losses of ttref.
    """

    def forward(
        self, prediction: Array, target: Array, sample_weight: Array | None = None, /, *masks: Any
    ) -> tuple[Array, Cache]:
        """Compute ``(loss, cache)``."""

    def backward(self, dloss: Array | int, cache: Cache, /) -> Array:
        """Pull the cotangent of the loss back to the prediction."""


class Optimizer(Protocol):
    """A rule that updates parameters by their gradients (`ttref.optim`)."""

    @property
    def lr(self) -> float | Schedule:
        """The learning rate, or the function that gives it."""

    def init(self, params: Tree) -> OptimizerState:
        """State before the first step."""

    def step(self, params: Tree, grads: Tree, state: OptimizerState) -> tuple[Tree, OptimizerState]:
        """``(params, state)`` after one step; the arguments stay as they are."""

    def advance(self, p: Array, g: Array, state: OptimizerState) -> tuple[Array, OptimizerState]:
        """``(p, state)`` after one step on vectors of all parameters, which it may overwrite."""


@runtime_checkable
class Source(Protocol):
    """Samples that are read when their turn comes, from disk or from elsewhere.

    `repr` of a source identifies its data: a run of training that is resumed compares it. If the
    source has a method ``fingerprints()``, a dict from the name of each sample to a text that tells
    its contents, in the order of the samples, these are compared too.
    """

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one sample."""

    def __len__(self) -> int:
        """How many samples there are."""

    def batch(self, numbers: Array, dtype: Dtype) -> Array:
        """Read the samples of these numbers, a NumPy vector of integers.

        The result is a NumPy array, shape ``(len(numbers), *shape)``; where the samples differ in
        length, the second axis is only as long as the longest of them.
        """
