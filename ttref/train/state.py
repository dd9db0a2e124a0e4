"""The state of a training run: everything that its next step depends on."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self, TypeAlias, TypedDict

from ttref import tree
from ttref.contracts import Array, OptimizerState, Tree
from ttref.optim import EMA, copy_state
from ttref.train.history import Row
from ttref.train.sums import BatchScore, Sums, new_sums

GeneratorState: TypeAlias = Mapping[str, Any]
"""``bit_generator.state`` of a `numpy.random.Generator`."""

Advance: TypeAlias = Callable[[Array, Array, OptimizerState], tuple[Array, OptimizerState]]
"""`ttref.contracts.Optimizer.advance`."""


class Best(TypedDict):
    """The best epoch so far, for early stopping."""

    value: float  # of the monitored column of the history
    epoch: int
    params: Tree
    average: Tree | None


@dataclass
class TrainingState:
    """Everything that the next step depends on; a checkpoint holds these fields.

    The state owns its arrays, which steps write into: `params` and `average` are copied, and become
    trees of views of two vectors, ``vectors["params"]`` and ``vectors["average"]``.
    """

    params: Tree
    optimizer: OptimizerState
    average: Tree | None  # moving average of params, if one was asked for
    generator: GeneratorState  # of the random generator now
    epoch_generator: GeneratorState  # when this epoch began; the shuffle is drawn again from it
    epoch: int = 0  # epochs finished
    step: int = 0  # steps finished in this epoch
    sums: Sums = field(default_factory=new_sums)
    seconds: float = 0.0  # spent on the steps of this epoch
    rows: tuple[Row, ...] = ()  # the history
    best: Best | None = None
    finished: bool = False  # whether early stopping has ended the run

    def __post_init__(self) -> None:
        self.pending: list[BatchScore] = []  # of the latest steps, not yet added to `sums`
        self.stopping = False  # whether a callback has ended the run, which can be resumed
        self.vectors: dict[str, Array] = {}
        for name in ("params", "average"):
            if getattr(self, name) is not None:
                self.hold(name, tree.ravel(getattr(self, name)))

    def hold(self, name: str, vector: Array) -> None:
        """Make `vector` the memory of the tree `name`, ``"params"`` or ``"average"``."""
        if vector is not self.vectors.get(name):
            self.vectors[name] = vector
            setattr(self, name, tree.unravel(vector, self.params))

    def advance(
        self,
        advance: Advance,
        gradient: Array,
        update_state: Callable[[Tree], Tree],
        ema: EMA | None,
    ) -> None:
        """Take the optimiser's step, update the layers' state, then the moving average.

        Parameters
        ----------
        advance : callable
            That of the optimiser.
        gradient : array, shape (P,)
            In the order of ``vectors["params"]``; may be overwritten.
        update_state : callable
            From parameters to parameters with updated running statistics.
        ema : EMA or None
        """
        p, self.optimizer = advance(self.vectors["params"], gradient, self.optimizer)
        self.hold("params", p)  # another vector, if the library's arrays cannot be written
        params = update_state(self.params)
        if params is not self.params:
            self.hold("params", tree.ravel(params))
        if ema is not None:
            average = ema.advance(self.vectors["average"], self.vectors["params"])
            self.hold("average", average)

    def copy(self) -> Self:
        """The same state, with arrays of its own."""
        return replace(self, optimizer=copy_state(self.optimizer), sums=self.sums.copy())

    def restore(self, kept: Self) -> None:
        """Become the state `kept`, an earlier copy, again."""
        vars(self).update(vars(kept))
