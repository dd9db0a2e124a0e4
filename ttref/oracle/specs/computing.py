"""`compute`: the results and the gradients of a declared layer, exactly, enclosed, or in floats."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ttref.arithmetic import ball, rational
from ttref.arithmetic.formats import FORMATS
from ttref.arrays import to_numpy
from ttref.checks import check_choice, suggest_call
from ttref.contracts import Array, Tree
from ttref.errors import ConventionError, InexactError
from ttref.oracle.specs.base import Problem, Spec, run

MODES = ("exact", "certified", "float")


@dataclass(frozen=True, eq=False, repr=False)
class Results(Mapping[str, Array]):
    """The results and the gradients of a layer by name, and the problem that they belong to.

    Attributes
    ----------
    spec : Spec
    problem : Problem
    mode : str
    arrays : dict from str to array
    """

    spec: Spec
    problem: Problem
    mode: str
    arrays: dict[str, Array]

    def __getitem__(self, name: str) -> Array:
        return self.arrays[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.arrays)

    def __len__(self) -> int:
        return len(self.arrays)

    def __repr__(self) -> str:
        shapes = ", ".join(f"{name} {np.shape(v)}" for name, v in self.arrays.items())
        return f"<{self.mode} results of {self.spec}: {shapes}>"


def compute(
    spec: Spec,
    params: Mapping[str, Tree],
    inputs: Mapping[str, Tree],
    upstream: Mapping[str, Tree] | None = None,
    mode: str = "exact",
) -> Results:
    """Compute what a layer should compute.

    Parameters
    ----------
    spec : Spec
        The layer with its options, as `spec` makes it.
    params, inputs : dict
        Arrays by the names, and of the shapes, that ``spec.params`` and ``spec.inputs`` say.
    upstream : dict, optional
        The cotangents of the results in ``spec.pulled``; one that is left out is zero. Without it
        there are no gradients.
    mode : str
        ``"exact"``: rational numbers; ``"certified"``: balls that contain the value, narrower than
        ``2^-10`` ulp of the dtype of the inputs; ``"float"``: the numbers that are given.

    Returns
    -------
    Results
        ``{"y": ..., "kernel": gradient, ...}``.

    Raises
    ------
    InexactError
        If exact results are asked of a layer that has none.
    ConventionError, ShapeError, RankError
        If an argument is not what the layer takes.
    UndecidableError
        If a comparison inside the layer cannot be decided.
    DataError
        If a number is infinite or not a number.

    Examples
    --------
    >>> import numpy as np
    >>> from ttref.oracle import compute, spec
    >>> layer = spec("linear")
    >>> params = {"kernel": np.asarray([[1.0], [2.0]]), "bias": np.asarray([0.5])}
    >>> found = compute(layer, params, {"x": np.asarray([[0.1, 1.0]])}, {"y": np.ones((1, 1))})
    >>> print(found["y"][0, 0])
    93674872249306317/36028797018963968
    >>> print(*found["x"][0])
    1 2
    """
    if not isinstance(spec, Spec):
        raise ConventionError(
            f"spec is a {type(spec).__name__}, expected a layer such as spec('linear')"
            f"{suggest_call(spec)}"
        )
    check_choice("mode", mode, MODES)
    problem = Problem(
        _as_dict("params", params),
        _as_dict("inputs", inputs),
        None if upstream is None else _as_dict("upstream", upstream),
    )
    spec.check(problem)
    for name in problem.upstream or ():
        check_choice("name in upstream", name, spec.pulled)
    return Results(spec, problem, mode, _compute(spec, problem, mode))


def _as_dict(name: str, value: Any) -> dict[str, Tree]:
    if not isinstance(value, Mapping):
        raise ConventionError(f"{name} is a {type(value).__name__}, expected a dict of arrays")
    return dict(value)


def _compute(spec: Spec, problem: Problem, mode: str) -> dict[str, Array]:
    if mode == "float":
        return run(spec, problem)
    if mode == "exact":
        if spec.irrational:
            raise InexactError(
                f"{spec.kind} computes {spec.irrational}, which has no rational value; use "
                "mode='certified'"
            )
        found = run(spec, problem, rational.lift)
        return {name: rational.lift(value) for name, value in found.items()}

    def enclosed() -> dict[str, Array]:
        return run(spec, problem, ball.lift)

    return dict(ball.enclose(enclosed, format_of_numbers(spec, problem)))


def format_of_numbers(spec: Spec, problem: Problem) -> str:
    """The finest format of the floats of a problem; float64 where there are none."""
    formats: list[str] = []
    problem.map(lambda x: formats.append(str(to_numpy(x).dtype)), spec.selects)
    known = [name for name in FORMATS if name in formats]
    return known[-1] if known else "float64"
