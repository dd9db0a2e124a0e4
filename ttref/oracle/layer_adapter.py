"""What stands between the oracle and a declared layer: two functions on NumPy arrays.

    forward(params, x, state, mask)                      -> y, or (y, last state)
    gradients(params, x, state, mask, dy, dlast_state)   -> {"kernel": ..., "x": ..., ...}

The arguments are the inputs of the layer by their names, and the cotangents of its results, ``dy``
of ``y``. A function names those that it takes: an input that may be absent is None where it is, and
is never there if a function does not name it; nor is a cotangent. The gradients, all or some of
them, are by the names of the parameters and inputs.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from ttref import tree
from ttref.arithmetic.formats import FORMATS
from ttref.arrays import check_shape
from ttref.checks import check_choice
from ttref.contracts import Array, Tree
from ttref.errors import (
    ConventionError,
    DtypeError,
    TTRefError,
    blaming,
    describe_error,
    visible,
)
from ttref.oracle.adapter import MOST_IN_A_NAME, UNSUPPORTED, Answer
from ttref.oracle.specs import Problem, Spec, spec
from ttref.testing.report import group

KINDS = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
ALIASES = {"dstate": "dlast_state"}
REFUSED = ("tt_rounding",)  # which has no one result


class _Refused(Exception):
    """The layer does not take the problem. The message says why."""


@dataclass(frozen=True)
class LayerAdapter:
    """Somebody's layer of any kind that `ttref.oracle.SPECS` has, as the oracle sees it.

    Parameters
    ----------
    layer : str
        A name in `SPECS`.
    forward, gradients : callables
        As the module ``ttref.oracle.layer_adapter`` says. Without `gradients`, results alone are
        judged.
    options : dict
        Those of the layer, as `ttref.oracle.spec` takes them.
    dtypes : sequence of str
        Formats to try.
    name : str

    Raises
    ------
    ConventionError
        If the layer or an option does not exist, or a function does not take what the layer needs.

    Examples
    --------
    >>> import numpy as np
    >>> from ttref.oracle import LayerAdapter, evaluate
    >>> def forward(params, x):
    ...     return x @ params["kernel"].T + params["bias"]
    >>> adapter = LayerAdapter("linear", forward, options={"kernel": "out in"})
    >>> print(evaluate(adapter, examples=3, dtypes=["float32"]).wrong)
    0
    """

    layer: str
    forward: Callable[..., Any]
    gradients: Callable[..., Any] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    dtypes: Sequence[str] = ("float32", "float64")
    name: str = "adapter"

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", visible(self.name, MOST_IN_A_NAME))
        for function in ("forward", "gradients"):
            given = getattr(self, function)
            if not callable(given) and not (function == "gradients" and given is None):
                raise ConventionError(f"{self.name}: {function} is not a function")
        if not isinstance(self.dtypes, tuple | list) or not self.dtypes:
            raise ConventionError(f"{self.name}: dtypes is {self.dtypes!r}, expected a list")
        for dtype in self.dtypes:
            check_choice(f"{self.name}: dtype", dtype, FORMATS)
        if not isinstance(self.options, Mapping):
            raise ConventionError(
                f"{self.name}: options is a {type(self.options).__name__}, expected a dict"
            )
        if self.layer in REFUSED:
            raise ConventionError(
                f"{self.name}: a layer {self.layer!r} cannot be asked, for its result is not one; "
                "call check_rounded of its spec"
            )
        for function in ("forward", "gradients"):
            if getattr(self, function) is not None:
                self._check_arguments(function)

    @cached_property
    def spec(self) -> Spec:
        """The layer with its options."""
        try:
            return spec(self.layer, **self.options)
        except TTRefError as error:
            raise ConventionError(f"{self.name}: {error}") from error

    def takes(self, function: str) -> set[str]:
        """The names of the arguments of a function, without params."""
        everything = {*self.spec.inputs}
        if function == "gradients":
            everything |= {*self._cotangents}
        try:
            parameters = list(inspect.signature(getattr(self, function)).parameters.values())
        except (TypeError, ValueError):  # of a function that has no signature
            return everything
        if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters):
            return everything
        found = set()
        for parameter in parameters[1:]:
            name = ALIASES.get(parameter.name, parameter.name)
            has_default = parameter.default is not inspect.Parameter.empty
            if parameter.kind in KINDS and (name in everything or not has_default):
                found.add(name)
        return found

    @property
    def _cotangents(self) -> list[str]:
        return [f"d{name}" for name in self.spec.pulled]

    def _check_arguments(self, function: str) -> None:
        """Raise unless a function takes all that is always there, and nothing that never is."""
        known = [*self.spec.inputs]
        if function == "gradients":
            known += self._cotangents
        for name in self.takes(function):
            check_choice(f"{self.name}: argument of {function}", name, known)
        needed = [name for name in self.spec.inputs if name not in self.spec.optional]
        if function == "gradients":
            needed += self._cotangents[:1]
        missing = [name for name in needed if name not in self.takes(function)]
        if missing:
            raise ConventionError(
                f"{self.name}: {function} has no argument {missing[0]}; it is called with params, "
                f"{', '.join(needed)}"
            )

    @cached_property
    def without(self) -> frozenset[str]:
        """Inputs that may be absent, and that a function does not take."""
        functions = ["forward"] if self.gradients is None else ["forward", "gradients"]
        taken = set.intersection(*[self.takes(function) for function in functions])
        return frozenset(name for name in self.spec.inputs if name not in taken)

    def limit(self, problem: Problem) -> Problem:
        """The problem without cotangents that `gradients` does not take."""
        if self.gradients is None or problem.upstream is None:
            return problem._replace(upstream=None)
        taken = self.takes("gradients")
        upstream = {name: v for name, v in problem.upstream.items() if f"d{name}" in taken}
        return problem._replace(upstream=upstream)

    def answer(self, problem: Problem, expected: Mapping[str, Array]) -> Answer:
        """Run the layer on a problem.

        Parameters
        ----------
        problem : Problem
        expected : mapping from str to array
            Arrays of the shapes and the dtype of all results and gradients.

        Returns
        -------
        Answer
        """
        returned: dict[str, Any] = {}
        errors: dict[str, TTRefError] = {}
        try:
            for function in ("forward", "gradients"):
                if getattr(self, function) is None or (errors and function == "gradients"):
                    continue
                if function == "gradients" and problem.upstream is None:
                    continue
                try:
                    found = self._call(function, problem)
                    with blaming(f"{self.name}: a result"):
                        returned |= self._pick(function, found)
                except TTRefError as error:
                    errors[function] = error
        except _Refused as refusal:
            return Answer({}, {}, {}, unsupported=str(refusal))
        return self._finish(returned, errors, expected)

    def _finish(
        self,
        returned: Mapping[str, Any],
        errors: dict[str, TTRefError],
        expected: Mapping[str, Array],
    ) -> Answer:
        """What was returned, checked."""
        results: dict[str, Array] = {}
        unfit: dict[str, TTRefError] = {}
        for name, value in returned.items():
            whole = group(name)
            if name not in expected:
                if whole not in self._never_judged or whole in expected:
                    unfit[whole] = ConventionError(
                        f"{self.name}: {whole} is no NumPy array, or is none of the results"
                    )
                continue
            try:
                results[name] = self._check(name, value, expected[name])
            except TTRefError as error:
                unfit[name] = error
        given = {group(name) for name in returned}
        for name in expected:
            if name not in returned and group(name) in given and group(name) not in unfit:
                unfit[name] = ConventionError(f"{self.name}: {name} is not there")
        missing = tuple([n for n in expected if n not in returned and n not in unfit])
        return Answer(results, unfit, errors, () if errors else missing)

    @property
    def _never_judged(self) -> set[str]:
        """Inputs, which may be absent or have no gradient, so that one that is given is ignored."""
        return {*self.spec.inputs}

    def _call(self, function: str, problem: Problem) -> Any:
        """Call a function on copies of the arrays in C order."""
        taken = self.takes(function)
        arguments: dict[str, Any] = {name: None for name in self.spec.inputs if name in taken}
        arguments |= {name: v for name, v in problem.inputs.items() if name in taken}
        if function == "gradients":
            cotangents = {f"d{name}": v for name, v in (problem.upstream or {}).items()}
            arguments |= {name: v for name, v in cotangents.items() if name in taken}
        params, arguments = tree.map(_copy, (problem.params, arguments))
        try:
            with np.errstate():  # whatever it sets, it sets for itself
                return getattr(self, function)(params, **self._spelled(function, arguments))
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # SystemExit too
            if type(error).__name__ == UNSUPPORTED:
                raise _Refused(describe_error(error)) from error
            named = {**problem.params, **problem.inputs}
            shapes = ", ".join(f"{name} {np.shape(v)}" for name, v in tree.flatten(named).items())
            raise ConventionError(
                f"{self.name}: {function} raised {describe_error(error)} (on {shapes})"
            ) from error

    def _spelled(self, function: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """The arguments by the names that the function has for them."""
        try:
            names = inspect.signature(getattr(self, function)).parameters
        except (TypeError, ValueError):
            return arguments
        other = {long: short for short, long in ALIASES.items() if short in names}
        return {other.get(name, name): value for name, value in arguments.items()}

    def _pick(self, function: str, found: Any) -> dict[str, Any]:
        """The results or gradients that are given, flat, by their names."""
        if function == "forward":
            return tree.flatten(self.spec.name_results(found))
        if not isinstance(found, dict):
            raise ConventionError(
                f"{self.name}: gradients returned a {type(found).__name__}, expected a dict"
            )
        given = {name: value for name, value in found.items() if value is not None}
        known = [*self.spec.params, *self.spec.inputs]
        for name in given:
            check_choice(f"{self.name}: gradient", name, known)
        if "state" in given and not isinstance(given["state"], tuple | list):
            given["state"] = (given["state"],)
        return tree.flatten(given)

    def _check(self, name: str, value: Any, like: Array) -> Array:
        """One array without any class of its own, if it has the shape and dtype it should have."""
        if not isinstance(value, np.ndarray | np.generic):
            raise ConventionError(
                f"{self.name}: {name} is a {visible(type(value).__name__, MOST_IN_A_NAME)}, "
                "expected a NumPy array"
            )
        value = np.asarray(value)
        check_shape(f"{self.name}: {name}", value, np.shape(like))
        if value.dtype != like.dtype:
            raise DtypeError(
                f"{self.name}: {name} is {value.dtype}, expected {like.dtype} as it was given"
            )
        return value


def _copy(x: Tree) -> Tree:
    """A copy in C order; None stays None."""
    return None if x is None else np.array(x, order="C")
