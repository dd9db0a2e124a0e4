"""A step of training as a CUDA graph: recorded once for each shape of batch, then launched whole.

What differs from step to step comes in arrays that stay in their place: the batch, the numbers that
layers draw, the optimiser's rates. The first step of a shape is taken as usual on these arrays, so
that everything is compiled and its memory is allocated. The second step is recorded, on a stream
and in a memory pool of its own that nothing else reuses. All others are launches. docs/gpu.md.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, NamedTuple, Protocol, TypeAlias, runtime_checkable

from array_api_compat import is_array_api_obj, is_cupy_array

from ttref.arrays import namespace
from ttref.contracts import Array, Namespace, OptimizerState
from ttref.errors import DeviceError
from ttref.machine import cuda_graphs
from ttref.rng import RNG
from ttref.train.data import Batch
from ttref.train.state import TrainingState
from ttref.train.step import Stepper
from ttref.train.sums import BatchScore

Graph: TypeAlias = Any
"""A `cupy.cuda.Graph`; ``launch()`` takes the recorded step."""


@runtime_checkable
class GraphOptimizer(Protocol):
    """An optimiser whose steps can be recorded: its rates may come in a vector."""

    def rates(self, step: int) -> Sequence[float]:
        """What depends on the number of steps taken before."""

    def advance(
        self, p: Array, g: Array, state: OptimizerState, rates: Array | None = None
    ) -> tuple[Array, OptimizerState]:
        """As that of `Optimizer`, with the rates of the step in a vector, if given."""


class GraphStepper:
    """Takes steps like the `Stepper` that it is given, by CUDA graphs."""

    def __init__(self, stepper: Stepper, state: TrainingState) -> None:
        self.stepper = stepper
        self.training = stepper.training
        self.recorded: dict[tuple, Recorded] = {}
        vector = state.vectors["params"]
        if not is_cupy_array(vector):
            raise DeviceError(
                f"graph=True needs parameters on a GPU, got {namespace(vector).__name__} ones; "
                "move them and the data there, or leave graph out"
            )
        optimizer = stepper.training.optimizer
        if not isinstance(optimizer, GraphOptimizer):
            raise DeviceError(
                f"graph=True needs an optimizer with rates(step), as SGD and Adam have them, got "
                f"{optimizer!r}"
            )
        self.optimizer = optimizer

    def take_step(self, state: TrainingState, batch: Batch, rng: RNG, careful: bool) -> None:
        """Update `state` by one batch; if `careful`, without a graph."""
        if careful:
            self.stepper.take_step(state, batch, rng, careful)
            return
        written = _find_written(state)
        shapes = [None if a is None else a.shape for a in _arrays(batch)]
        # The graph keeps the arrays alive that it writes, so no others can have their ids.
        key = (*shapes, *map(id, written.values()))
        if key not in self.recorded:
            self.recorded[key] = Recorded(self.stepper, self.optimizer, written, batch)
        self.recorded[key].take(state, batch, rng)


class Recorded:
    """The step of batches of one shape, on arrays that stay in their place."""

    def __init__(
        self,
        stepper: Stepper,
        optimizer: GraphOptimizer,
        written: dict[str, Array],
        batch: Batch,
    ) -> None:
        self.optimizer = optimizer
        self.written = written
        self.recorder = Recorder()
        # What differs from step to step has a place: the rates, the numbers drawn, the batch.
        p = written["params"]
        xp = namespace(p)
        self.rates = xp.asarray(optimizer.rates(0), dtype=p.dtype)
        self.draws = Draws(xp)
        weight = None if batch.weight is None else xp.zeros_like(batch.weight)
        x = xp.zeros_like(batch.x)
        self.batch = Batch(x, xp.zeros_like(batch.target), weight, total=1, answers=1)
        # The stepper does the same as ever, with the rates from their place.
        self.stepper = copy.copy(stepper)
        self.stepper.advance = partial(optimizer.advance, rates=self.rates)
        self.is_first = True
        self.graph: Graph | None = None

    def take(self, state: TrainingState, batch: Batch, rng: RNG) -> None:
        """Take the step of `state` with this batch."""
        with self.recorder.apart():
            self._load(state, batch, rng)
            step = partial(self._step, state)
            if self.is_first:
                self.recorder.run(step)
                self.is_first = False
            else:
                if self.graph is None:
                    self.graph = self.recorder.record(step)
                else:
                    state.optimizer = state.optimizer | {"step": state.optimizer["step"] + 1}
                self.graph.launch()
        # The next launch writes into the arrays of these results, so copies are kept.
        found = self.results
        answers = found.answers * batch.answers
        state.pending.append(BatchScore(found.loss + 0, found.right + 0, answers, batch.total))

    def _load(self, state: TrainingState, batch: Batch, rng: RNG) -> None:
        """Put what differs from step to step into its place."""
        for place, values in zip(_arrays(self.batch), _arrays(batch), strict=True):
            if place is not None:
                place[...] = values
        rates = self.optimizer.rates(state.optimizer["step"])
        self.rates[...] = namespace(self.rates).asarray(rates, dtype=self.rates.dtype)
        self.draws.load(rng)

    def _step(self, state: TrainingState) -> None:
        """What is recorded."""
        self.stepper.take_step(state, self.batch, self.draws, careful=False)
        self.results = state.pending.pop()
        for name, array in self.written.items():
            _move_back(state, name, array)


class Draws:
    """A generator whose numbers are arrays on the device, which `load` fills with new ones.

    Its draws are those of the generator that `load` is given, in their order.
    """

    def __init__(self, xp: Namespace) -> None:
        self.xp = xp
        self.draws: list[Draw] = []  # of one step
        self.generator: RNG = None
        self.used = 0  # draws of the step at hand so far

    def load(self, generator: RNG) -> None:
        """Draw again, from `generator`, what the step before drew."""
        self.generator = generator
        self.used = 0
        for draw in self.draws:
            draw.place[...] = self.xp.asarray(draw.function(generator))

    def __getattr__(self, name: str) -> Callable[..., Array]:
        return partial(self._draw, name)

    def _draw(self, name: str, *arguments: object, **options: object) -> Array:
        """The draw of the method `name` of the generator, in its place on the device."""

        def function(generator: RNG) -> Array:
            return getattr(generator, name)(*arguments, **options)

        if self.used == len(self.draws):
            place = self.xp.asarray(function(self.generator))
            self.draws.append(Draw(function, place))
        self.used += 1
        return self.draws[self.used - 1].place


class Draw(NamedTuple):
    """One call of a method of a generator, and where its numbers go."""

    function: Callable[[RNG], Array]
    place: Array


class Recorder:
    """Records steps on a stream and in a memory pool of its own."""

    def __init__(self) -> None:
        import cupy

        self.cuda = cupy.cuda
        self.stream = self.cuda.Stream(non_blocking=True)
        self.pool = self.cuda.MemoryPool()

    @contextmanager
    def apart(self) -> Iterator[None]:
        """Work there, after what came before and before what comes after."""
        outer = self.cuda.get_current_stream()
        self.stream.wait_event(outer.record())
        with self.stream, self.cuda.using_allocator(self.pool.malloc):
            yield
        outer.wait_event(self.stream.record())

    def run(self, step: Callable[[], None]) -> None:
        """Take the step, by the functions that can be recorded."""
        with cuda_graphs.functions():
            step()

    def record(self, step: Callable[[], None]) -> Graph:
        """Record the graph of the step, which is not taken.

        Raises
        ------
        DeviceError
            If the step does something that cannot be recorded.
        """
        self.stream.begin_capture()
        try:
            self.run(step)
        except Exception as error:
            with suppress(Exception):  # ending a broken capture may raise again
                self.stream.end_capture()
            raise DeviceError(
                f"the step cannot be recorded as a CUDA graph ({error}); leave graph out"
            ) from error
        return self.stream.end_capture()


def _arrays(batch: Batch) -> tuple[Array | None, ...]:
    return batch.x, batch.target, batch.weight


def _find_written(state: TrainingState) -> dict[str, Array]:
    """The arrays that steps write into, by name."""
    moments = {name: a for name, a in state.optimizer.items() if is_array_api_obj(a)}
    return state.vectors | moments


def _move_back(state: TrainingState, name: str, array: Array) -> None:
    """Move what `state` has under that name into the `array` where it was before the step."""
    found = _find_written(state)[name]
    if found is array:
        return
    array[...] = found
    if name in state.vectors:
        state.hold(name, array)
    else:
        state.optimizer[name] = array
