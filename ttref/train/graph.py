"""A step of training as a CUDA graph: recorded once for each shape of batch, then launched whole.

What differs from step to step comes in arrays that stay in their place: the batch, the numbers that
layers draw, the optimiser's rates. The first step of a shape is taken as ever, on these arrays, so
that everything is compiled and its memory is there; the second is recorded, on a stream and in a
memory pool of its own, which nothing else reuses; all others are launches. docs/gpu.md.
"""

import copy
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial

from array_api_compat import is_array_api_obj, is_cupy_array

from ttref.arrays import namespace
from ttref.errors import DeviceError
from ttref.machine import cuda_graphs
from ttref.train.data import Batch


class GraphStepper:
    """Takes steps like the `Stepper` that it is given, by CUDA graphs."""

    def __init__(self, stepper, run):
        self.stepper, self.training, self.recorded = stepper, stepper.training, {}
        vector = run.vectors["params"]
        if not is_cupy_array(vector):
            raise DeviceError(
                f"graph=True needs parameters on a GPU, got {namespace(vector).__name__} ones; "
                "move them and the data there, or leave graph out"
            )
        if not hasattr(self.training.optimizer, "rates"):
            raise DeviceError(
                f"graph=True needs an optimizer with rates(step), as SGD and Adam have them, got "
                f"{self.training.optimizer!r}"
            )

    def take_step(self, run, batch, rng, careful):
        """Update `run` by one batch; if `careful`, without a graph."""
        if careful:
            return self.stepper.take_step(run, batch, rng, careful)
        arrays = batch.x, batch.target, batch.weight
        written = _written(run)
        key = *(a if a is None else a.shape for a in arrays), *map(id, written.values())
        if key not in self.recorded:  # which keeps the arrays alive, so that no other has their id
            self.recorded[key] = Recorded(self.stepper, written, arrays)
        return self.recorded[key].take(run, batch, rng)


class Recorded:
    """The step of batches of one shape, on arrays that stay in their place."""

    def __init__(self, stepper, written, arrays):
        self.written, self.recorder = written, Recorder()
        p = written["params"]
        xp, optimizer = namespace(p), stepper.training.optimizer
        self.rates = xp.asarray(optimizer.rates(0), dtype=p.dtype)
        self.draws = Draws(xp)
        self.arrays = tuple(a if a is None else xp.zeros_like(a) for a in arrays)
        self.stepper = copy.copy(stepper)
        fed = Fed(optimizer, self.rates)
        self.stepper.training = replace(stepper.training, optimizer=fed)
        self.first, self.graph = True, None

    def take(self, run, batch, rng):
        """Take the step of `run` with this batch."""
        with self.recorder.apart():
            self._load(run, batch, rng)
            step = partial(self._step, run)
            if self.first:
                self.recorder.run(step)
                self.first = False
            else:
                if self.graph is None:
                    self.graph = self.recorder.record(step)
                else:
                    run.optimizer = run.optimizer | {"step": run.optimizer["step"] + 1}
                self.graph.launch()
        loss, right, answers = self.results
        kept = [a + 0 for a in (loss, right)]  # the next launch writes into the others
        run.pending.append((*kept, answers * batch.answers, batch.total))

    def _load(self, run, batch, rng):
        for array, values in zip(self.arrays, (batch.x, batch.target, batch.weight), strict=True):
            if array is not None:
                array[...] = values
        rates = self.stepper.training.optimizer.optimizer.rates(run.optimizer["step"])
        self.rates[...] = namespace(self.rates).asarray(rates, dtype=self.rates.dtype)
        self.draws.load(rng)

    def _step(self, run):
        """What is recorded."""
        x, target, weight = self.arrays
        self.stepper.take_step(run, Batch(x, target, weight, 1, 1), self.draws, careful=False)
        *self.results, _ = run.pending.pop()
        for name, array in self.written.items():
            _keep(run, name, array)


class Draws:
    """A generator whose numbers are arrays on the device, which `load` fills with new ones.

    Its draws are those of the generator that `load` is given, in their order.
    """

    def __init__(self, xp):
        self.xp, self.draws, self.generator, self.used = xp, [], None, 0

    def load(self, generator):
        """Draw anew what was drawn in the step before."""
        self.generator, self.used = generator, 0
        for draw, array in self.draws:
            array[...] = self.xp.asarray(draw(generator))

    def __getattr__(self, name):
        return partial(self._draw, name)

    def _draw(self, name, *arguments, **options):
        def draw(generator):
            return getattr(generator, name)(*arguments, **options)

        if self.used == len(self.draws):
            self.draws.append((draw, self.xp.asarray(draw(self.generator))))
        self.used += 1
        return self.draws[self.used - 1][1]


class Fed:
    """An optimiser that finds its rates in a vector."""

    def __init__(self, optimizer, rates):
        self.optimizer, self.rates = optimizer, rates

    def advance(self, p, g, state):
        """As the optimiser's."""
        return self.optimizer.advance(p, g, state, self.rates)


class Recorder:
    """A stream of its own, and memory that nothing else is given."""

    def __init__(self):
        import cupy

        self.cuda = cupy.cuda
        self.stream, self.pool = self.cuda.Stream(non_blocking=True), self.cuda.MemoryPool()

    @contextmanager
    def apart(self):
        """Work there, after what came before and before what comes after."""
        outer = self.cuda.get_current_stream()
        self.stream.wait_event(outer.record())
        with self.stream, self.cuda.using_allocator(self.pool.malloc):
            yield
        outer.wait_event(self.stream.record())

    def run(self, step):
        """Take the step, by the functions that can be recorded."""
        with cuda_graphs.functions():
            step()

    def record(self, step):
        """The graph of the step, which is not taken.

        Raises
        ------
        DeviceError
            If there is something in it that cannot be recorded.
        """
        self.stream.begin_capture()
        try:
            self.run(step)
        except Exception as error:
            with suppress(Exception):  # a capture that something broke cannot be ended well
                self.stream.end_capture()
            raise DeviceError(
                f"the step cannot be recorded as a CUDA graph ({error}); leave graph out"
            ) from error
        return self.stream.end_capture()


def _written(run):
    """The arrays that steps write into, by name."""
    state = {name: a for name, a in run.optimizer.items() if is_array_api_obj(a)}
    return run.vectors | state


def _keep(run, name, array):
    """What `run` has of that name, in the `array` where it was before."""
    found = _written(run)[name]
    if found is array:
        return
    array[...] = found
    if name in run.vectors:
        run._hold(name, array)
    else:
        run.optimizer[name] = array
