"""What a specification of a layer is: its options, the shapes of its arrays, and two functions."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from ttref import tree
from ttref.arithmetic.formats import numpy_dtype
from ttref.arrays import check_shape
from ttref.contracts import Array, Cache, Tree
from ttref.oracle.specs.axes import Signature, Sizes, check_arrays, draw_arrays, map_numbers


class Problem(NamedTuple):
    """What a layer is asked: its parameters, its inputs and the cotangents of its results."""

    params: dict[str, Tree]
    inputs: dict[str, Tree]
    upstream: dict[str, Tree] | None = None  # None where no gradients are asked for

    def map(self, function: Callable[[Array], Array], selects: tuple[str, ...] = ()) -> "Problem":
        """Apply a function to all arrays but those inputs that only select."""
        return Problem(
            map_numbers(function, self.params, ()),
            map_numbers(function, self.inputs, selects),
            map_numbers(function, self.upstream, ()),
        )


@dataclass(frozen=True, kw_only=True)
class Spec:
    """A layer with its options, as somebody declares it; each kind of layer is a subclass.

    It says which arrays the layer takes, and computes the layer by the operators of ttref: arrays
    are brought to canonical storage, which only moves numbers, and gradients are brought back. So
    it computes on every kind of number.
    """

    kind: ClassVar[str] = ""
    """The name in `SPECS`."""

    optional: ClassVar[tuple[str, ...]] = ()
    """Parameters and inputs that may be absent."""

    constants: ClassVar[tuple[str, ...]] = ()
    """Inputs that are numbers, and of which there is no gradient."""

    pulled: ClassVar[tuple[str, ...]] = ("y",)
    """The results that have a cotangent; none of a layer without gradients."""

    multilinear: ClassVar[bool] = False
    """Whether every result is a sum of products, one factor from each array that meets there."""

    @property
    def params(self) -> Signature:
        """The shape of each parameter, by its name."""
        return {}

    @property
    def inputs(self) -> Signature:
        """The shape of each input, by its name."""
        return {}

    @property
    def selects(self) -> tuple[str, ...]:
        """Inputs that only select: booleans, labels, numbers of rows."""
        return ()

    @property
    def irrational(self) -> str:
        """The function of the layer that has no rational value; empty if all of them have."""
        return ""

    @property
    def lattice(self) -> bool:
        """Whether the layer is made of pieces of polynomials, so that floats can be exact."""
        return True

    def units(self, sizes: Sizes) -> dict[str, int]:
        """What entries are multiples of on the lattice, by name, where that is not 1.

        Names are those of parameters, inputs and cotangents.
        """
        return {}

    def forward(
        self, params: dict[str, Tree], inputs: dict[str, Tree]
    ) -> tuple[dict[str, Tree], Cache]:
        """Compute the results by name, and what `backward` reads."""
        raise NotImplementedError

    def backward(self, upstream: dict[str, Tree], cache: Cache) -> dict[str, Tree]:
        """Compute the gradients of parameters and inputs, by the cotangents of all results."""
        raise NotImplementedError

    def draw_sizes(self, rng: np.random.Generator) -> Sizes:
        """Draw the sizes of a problem, all of them different."""
        raise NotImplementedError

    def draw_choice(self, name: str, shape: Any, sizes: Sizes, rng: np.random.Generator) -> Array:
        """Draw an input that only selects."""
        raise NotImplementedError

    def draw_number(self, name: str, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
        """Draw the numbers of a parameter or an input: normal ones."""
        return rng.standard_normal(shape)

    def draw_whole(
        self, name: str, shape: tuple[int, ...], rng: np.random.Generator, most: int
    ) -> Array:
        """Draw whole numbers from -most to most, none of them 0, for the lattice."""
        return rng.integers(1, most + 1, shape) * rng.choice([-1, 1], shape)

    def names_of(self, problem: Problem) -> list[str]:
        """The names of all results, and of all gradients if there are cotangents."""
        return list(run(self, problem))

    def check(self, problem: Problem) -> Sizes:
        """Raise unless parameters and inputs are there and of the declared shapes.

        Returns
        -------
        dict
            The sizes that were found.
        """
        sizes: Sizes = {}
        check_arrays(self.params, problem.params, sizes, "params", self.optional)
        check_arrays(self.inputs, problem.inputs, sizes, "inputs", self.optional)
        return sizes

    def name_results(self, found: Any) -> dict[str, Tree]:
        """What somebody's function returns, by the names of the results.

        Raises
        ------
        ConventionError
            If it is not one result, or a tuple of the results in their order, or a dict of them.
        """
        if isinstance(found, dict):
            return found
        return {"y": found}

    def draw(
        self,
        rng: np.random.Generator,
        dtype: str = "float64",
        without: Collection[str] = (),
    ) -> Problem:
        """Draw a problem.

        Parameters
        ----------
        rng : numpy.random.Generator
        dtype : str
            The format of its numbers.
        without : collection of str
            Inputs that are absent, of those that may be.

        Returns
        -------
        Problem
            Its sizes differ from each other, its batch is larger than 1, and what may be absent is
            there or not.
        """
        sizes = self.draw_sizes(rng)
        kind = numpy_dtype(dtype)

        def draw_all(signature: Signature) -> dict[str, Tree]:
            return {
                name: self._draw_one(name, shape, sizes, rng, kind)
                for name, shape in signature.items()
                if name not in self.optional or (name not in without and rng.integers(2))
            }

        problem = Problem(draw_all(self.params), draw_all(self.inputs))
        if not self.pulled:
            return problem
        results, _ = self.forward(*problem[:2])

        def draw_like(result: Array) -> Array:
            return np.asarray(rng.standard_normal(np.shape(result)), dtype=kind)

        upstream = {name: tree.map(draw_like, results[name]) for name in self.pulled}
        return problem._replace(upstream=upstream)

    def _draw_one(
        self, name: str, shape: Any, sizes: Sizes, rng: np.random.Generator, kind: np.dtype
    ) -> Tree:
        """Draw a parameter or an input."""
        if name in self.selects:
            return self.draw_choice(name, shape, sizes, rng)

        def numbers(of_shape: tuple[int, ...]) -> Array:
            return np.asarray(self.draw_number(name, of_shape, rng), dtype=kind)

        return draw_arrays(shape, sizes, numbers)


def run(
    spec: Spec, problem: Problem, lift: Callable[[Array], Array] | None = None
) -> dict[str, Array]:
    """Results and gradients by name, on lifted numbers.

    Parameters
    ----------
    spec : Spec
    problem : Problem
    lift : callable, optional
        From an array to an array of the numbers to compute with.

    Returns
    -------
    dict
        A result has its own name, ``"y"`` or ``"last_state.0"``, and a gradient that of the array
        whose gradient it is.
    """
    if lift is not None:
        problem = problem.map(lift, spec.selects)
    results, cache = spec.forward(problem.params, problem.inputs)
    found = {name: np.asarray(value) for name, value in tree.flatten(results).items()}
    if problem.upstream is None or not spec.pulled:
        return found
    upstream = {}
    for name in spec.pulled:
        given = problem.upstream.get(name)
        if given is None:
            given = tree.map(np.zeros_like, results[name])
        expected = tree.flatten(results[name])
        for leaf, value in tree.flatten(given).items():
            check_shape(f"upstream {name}", value, np.shape(expected[leaf]))
        upstream[name] = given
    gradients = spec.backward(upstream, cache)
    return found | {leaf: np.asarray(v) for leaf, v in tree.flatten(gradients).items()}
