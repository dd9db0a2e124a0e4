"""What stands between the oracle and a layer: two functions on NumPy arrays, and how it stores.

    forward(params, x)        -> y          params {"cores": [...], "bias": ...}, or without bias
    gradients(params, x, dy)  -> {"cores": [...], "bias": ..., "x": ...}, all or some of these

for ``y = x W + b``, x of shape (B, N), y and dy of shape (B, M), and the cores as `layout` says.
The gradients are those of ``<dy, y>``, each stored like the array it belongs to. All arrays have
one dtype, of those that the adapter names.
"""

from collections.abc import Callable, Collection, Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any, NamedTuple

import numpy as np

from ttref import tree
from ttref.arithmetic.formats import FORMATS, numpy_dtype
from ttref.arrays import check_shape
from ttref.checks import as_integer, check_choice, check_flag
from ttref.contracts import Array, Tree
from ttref.errors import (
    ConventionError,
    DtypeError,
    ShapeError,
    TTRefError,
    blaming,
    describe_error,
    visible,
)
from ttref.oracle.domain import Domain, Shapes, Unsupported
from ttref.oracle.extension import cut, enlarge, extend, is_part, shapes_of
from ttref.oracle.layouts import LAYOUTS, Move, Storage, moves_of, parse_layout, permute_axes, undo
from ttref.oracle.program import Program
from ttref.testing.cases.case import Case, Params

FUNCTIONS = ("forward", "gradients", "run")
DOMAIN = ("d", "equal_ranks", "min_mode", "batch", "accepts", "bias")
OPTIONS = ("layout", "dtypes", *DOMAIN, "extend", "name")
MOST_IN_A_NAME = 80  # characters
MOST_KEYS = 20
MOST_OF_KEYS = 200  # characters of their list


UNSUPPORTED = Unsupported.__name__  # an adapter that runs without ttref defines its own


class _Refused(Exception):
    """The layer does not take the problem. The message says why."""


class Answer(NamedTuple):
    """What a layer makes of one problem."""

    results: dict[str, Array]  # {"y": ..., "cores.0": gradient, ...}, stored canonically
    unfit: dict[str, TTRefError]  # by tensor: an array of another shape or dtype than expected
    errors: dict[str, TTRefError]  # by function: what it raised, or what it returned in place
    missing: tuple[str, ...] = ()  # tensors whose gradients are not given
    unsupported: str = ""  # why the layer does not take the problem


class Given(NamedTuple):
    """What a layer is given, and what is known of it."""

    case: Case  # as it was asked
    larger: Shapes  # of the problem that the layer is given
    inputs: Params  # canonical
    dy: Array
    moves: dict[str, Move]
    stored: Params  # as the layer stores them
    stored_dy: Array

    def as_question(self) -> tuple[Params, Array, Array]:
        """``(params, x, dy)``, as the layer stores them."""
        params = {name: value for name, value in self.stored.items() if name != "x"}
        return params, self.stored["x"], self.stored_dy


def _refuse(reason: str) -> Answer:
    """The answer of a layer that does not take a problem."""
    return Answer({}, {}, {}, unsupported=reason)


@dataclass(frozen=True)
class Adapter:
    """Somebody's TT layer, as the oracle sees it.

    Parameters
    ----------
    forward, gradients : callables
        As the module ``ttref.oracle.adapter`` says. Without `gradients`, y alone is judged, and a
        gradient that `gradients` leaves out, or returns as None, is "not given".
    run : callable
        In place of both: ``run(params, x, dy) -> {"y": ..., "cores": [...], ...}``. It can be a
        `ttref.oracle.Program`, which computes the layer in another process.
    layout : str, sequence of 4 ints, or Storage
        How cores are stored: a name in `LAYOUTS`; the axes of the canonical core
        ``(left rank, input mode, output mode, right rank)`` in the stored order; a text as
        ``"(out right) (left in)"`` (`ttref.oracle.parse_layout`); or any `Storage`.
    dtypes : sequence of str
        Formats to try: ``"float64"``, ``"float32"``, ``"float16"``, ``"bfloat16"``.
    d, equal_ranks, min_mode, batch, accepts, bias
        Which shapes the layer takes, as of `ttref.oracle.Domain`. By default it takes all. It can
        also raise `ttref.oracle.Unsupported`, or any exception of that name; what is left out
        because of it is counted.
    extend : bool
        Whether problems that the layer does not take are made larger until it does: by zeros that
        make ranks equal and modes larger, and by cores of ones for more cores.
    name : str
        Escape characters are shown as such, and a long name is cut.

    Raises
    ------
    ConventionError
        If a function is missing, or an option is not what it should be.
    """

    forward: Callable[[Params, Array], Array] | None = None
    gradients: Callable[[Params, Array, Array], Params] | None = None
    layout: str | Sequence[int] | Storage = "canonical"
    dtypes: Sequence[str] = ("float32", "float64")
    bias: bool = True
    name: str = "adapter"
    d: int | Collection[int] | None = None
    equal_ranks: bool = False
    min_mode: int = 1
    batch: int | Collection[int] | None = None
    accepts: Callable[[Shapes], bool] | None = None
    extend: bool = False
    run: Callable[[Params, Array, Array], Params] | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.name, str):
            raise ConventionError(f"name is a {_kind(self.name)}, expected a text")
        object.__setattr__(self, "name", visible(self.name, MOST_IN_A_NAME))
        for function in FUNCTIONS:
            if getattr(self, function) is not None and not callable(getattr(self, function)):
                raise ConventionError(f"{self.name}: {function} is not a function")
        if (self.forward is None) == (self.run is None) or (self.run and self.gradients):
            raise ConventionError(
                f"{self.name}: expected the function forward, with or without gradients, or the "
                "function run in place of both"
            )
        with blaming(f"{self.name}: an option"):
            self._check_dtypes()
            check_flag(f"{self.name}: extend", self.extend)
            _ = self.storage  # raises if the layout is unknown
            try:
                _ = self.domain  # raises if an option of it is not what it should be
            except TTRefError as error:
                raise ConventionError(f"{self.name}: {error}") from error

    def _check_dtypes(self) -> None:
        """Raise unless the formats are a list of known ones."""
        if not isinstance(self.dtypes, tuple | list) or not self.dtypes:
            shown = visible(repr(self.dtypes), MOST_IN_A_NAME)
            raise ConventionError(f"{self.name}: dtypes is {shown}, expected a list")
        for dtype in self.dtypes:
            check_choice(f"{self.name}: dtype", dtype, FORMATS)

    @property
    def storage(self) -> Storage:
        """The layout as a `Storage`."""
        if isinstance(self.layout, Storage):
            words, *maps = self.layout
            if not isinstance(words, str) or not all(callable(move) for move in maps):
                raise ConventionError(
                    f"{self.name}: layout is a Storage whose words are no text, or whose maps are "
                    "no functions"
                )
            return self.layout
        if isinstance(self.layout, str) and " " in self.layout:
            return parse_layout(self.layout)
        if isinstance(self.layout, str):
            check_choice(f"{self.name}: layout", self.layout, LAYOUTS)
            return permute_axes(LAYOUTS[self.layout])
        axes = [as_integer(axis) for axis in self.layout] if _is_listed(self.layout) else []
        order = tuple([axis for axis in axes if axis is not None])
        if len(axes) != 4 or sorted(order) != [0, 1, 2, 3]:
            raise ConventionError(
                f"{self.name}: layout is {visible(repr(self.layout), MOST_IN_A_NAME)}, expected a "
                "name or an order of the axes 0, 1, 2, 3 (left rank, input mode, output mode, "
                "right rank)"
            )
        return permute_axes(order)

    @cached_property
    def domain(self) -> Domain:
        """Which shapes the layer itself takes."""
        return Domain(**{name: getattr(self, name) for name in DOMAIN})

    def draw_shapes(self, rng: np.random.Generator, count: int, few: bool = False) -> list[Shapes]:
        """Draw shapes that the layer takes, as `Domain.draw`, or that can be made such shapes."""
        with blaming(f"{self.name}: accepts"):
            if self.extend:
                return self.domain.widened().draw(rng, count, few)
            return self.domain.draw(rng, count, few)

    def results(self, case: Case, dtype: str, storage: Storage | None = None) -> dict[str, Array]:
        """Run the layer on a case: ``{"y": ..., "cores.0": gradient, ...}``, stored canonically.

        Parameters
        ----------
        case : Case
            Of the operator ``tt_linear``.
        dtype : str
            The format in which the layer gets its arrays.
        storage : Storage, optional
            In place of the adapter's own.

        Raises
        ------
        ConventionError, DtypeError, ShapeError
            If a function raises, or does not return what it should.
        """
        answer = self.answer(case, dtype, storage)
        for error in (*answer.errors.values(), *answer.unfit.values()):
            raise error
        if answer.unsupported:
            raise ConventionError(f"{self.name}: {answer.unsupported}")
        return answer.results

    def answer(self, case: Case, dtype: str, storage: Storage | None = None) -> Answer:
        """Run the layer on a case, and say what there is in the place of results.

        The parameters are those of `results`.

        Raises
        ------
        ConventionError
            If the storage cannot be used.
        """
        given = self.prepare(case, dtype, storage)
        if isinstance(given, Answer):
            return given
        try:
            returned, errors = self._ask(given)
        except _Refused as refusal:
            return _refuse(str(refusal))
        return self.finish(given, returned, errors)

    def answer_all(self, cases: Iterable[tuple[Case, str]]) -> Generator[Answer]:
        """The answer on each case, in its format, in their order.

        A program that answers many cases in one process (`Program`) is asked all of them at once.
        """
        if not (isinstance(self.run, Program) and self.run.takes_folders):
            yield from (self.answer(case, dtype) for case, dtype in cases)
            return
        prepared = [self.prepare(case, dtype) for case, dtype in cases]
        given = [one for one in prepared if isinstance(one, Given)]
        with closing(self.run.answer_all([one.as_question() for one in given])) as outcomes:
            for one in prepared:
                if isinstance(one, Answer):
                    yield one
                    continue
                outcome = next(outcomes)
                if isinstance(outcome, ConventionError):
                    yield self.finish(one, {}, {"run": ConventionError(f"{self.name}: {outcome}")})
                else:
                    yield self.finish(one, outcome, {})

    def prepare(self, case: Case, dtype: str, storage: Storage | None = None) -> "Given | Answer":
        """What the layer is given, in its own storage; an answer if it does not take the case."""
        # the problem that the layer takes
        own = shapes_of(case)
        larger = enlarge(own, self.domain) if self.extend else own
        with blaming(f"{self.name}: accepts"):
            if not self.domain.takes(larger):
                return _refuse(f"the layer takes no problem of {own}")
        taken = case if larger == own else extend(case, larger)

        # its arrays
        inputs = tree.map(lambda v: np.asarray(v, numpy_dtype(dtype)), taken.inputs)
        dy = np.asarray(taken.dy, numpy_dtype(dtype))
        with blaming(f"{self.name}: the storage"):
            moves = moves_of(storage or self.storage, inputs["cores"])
            stored = {name: moves[name](value) for name, value in inputs.items()}
            stored_dy = moves["y"](dy)
            for value in tree.leaves((stored, stored_dy)):
                if not isinstance(value, np.ndarray):
                    raise ConventionError(
                        f"{self.name}: the storage makes a {_kind(value)} of an array"
                    )
        return Given(case, larger, inputs, dy, moves, stored, stored_dy)

    def _ask(self, given: "Given") -> tuple[dict[str, Any], dict[str, TTRefError]]:
        """What the functions return, and what they raise in place of it."""
        returned: dict[str, Any] = {}
        errors: dict[str, TTRefError] = {}
        for function in FUNCTIONS:
            if getattr(self, function) is None:
                continue
            dy = () if function == "forward" else (given.stored_dy,)
            try:
                found = self._call(function, given.stored, *dy)
                returned |= self._pick(function, found, given.stored)
            except TTRefError as error:
                errors[function] = error
                break
        return returned, errors

    def finish(
        self, given: "Given", returned: dict[str, Any], errors: dict[str, TTRefError]
    ) -> Answer:
        """What was returned, checked, in canonical storage, and cut to the problem asked."""
        checked: dict[str, Tree] = {}
        unfit: dict[str, TTRefError] = {}
        errors = dict(errors)
        for name, value in returned.items():
            like = given.dy if name == "y" else given.inputs[name]
            what = "y" if name == "y" else f"gradient of {name}"
            try:
                with blaming(f"{self.name}: a result"):
                    checked[name] = self._check_tree(what, value, like, given.moves[name])
            except (ShapeError, DtypeError) as error:
                unfit[name] = error
            except TTRefError as error:
                errors.setdefault(self._source_of(name), error)
        missing = tuple([name for name in ("y", *given.stored) if name not in returned])
        results = {
            leaf: cut(leaf, value, given.case, given.larger)
            for leaf, value in tree.flatten(checked).items()
            if is_part(leaf, given.case)
        }
        return Answer(results, unfit, errors, () if errors else missing)

    def _source_of(self, name: str) -> str:
        """The function that a result comes from."""
        if self.run is not None:
            return "run"
        return "forward" if name == "y" else "gradients"

    def _pick(self, function: str, found: Any, stored: Params) -> dict[str, Any]:
        """The results that are given, by the name of what they belong to."""
        if function == "forward":
            return {"y": found}
        names = ["y", *stored] if function == "run" else list(stored)
        with blaming(f"{self.name}: a result"):
            if not isinstance(found, dict) or not found.keys() & set(names):
                raise ConventionError(
                    f"{self.name}: {function} returned {_describe_keys(found)}, expected a dict "
                    f"with {names}"
                )
            return {name: found[name] for name in names if not _is_left_out(found.get(name))}

    def _call(self, function: str, stored: Params, *dy: Array) -> Any:
        """Call a function of the adapter, on copies of the arrays in C order."""
        params, cotangents = tree.map(lambda v: np.array(v, order="C"), (stored, dy))
        x = params.pop("x")
        try:
            with np.errstate():  # whatever it sets, it sets for itself
                return getattr(self, function)(params, x, *cotangents)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # SystemExit too
            if type(error).__name__ == UNSUPPORTED:
                raise _Refused(describe_error(error)) from error
            if isinstance(error, ModuleNotFoundError) and error.name:
                raise ConventionError(
                    f"{self.name}: {function} needs the module {visible(error.name)}, which is not "
                    "installed here; install it, or run ttref where it is installed "
                    "(docs/oracle.md)"
                ) from error
            shapes = ", ".join(f"{name} {v.shape}" for name, v in tree.flatten(stored).items())
            raise ConventionError(
                f"{self.name}: {function} raised {describe_error(error)} (on {shapes})"
            ) from error

    def _check_tree(self, what: str, found: Any, like: Tree, move: Move) -> Tree:
        """Check what the adapter returned, and bring it to canonical storage."""
        expected = move(like)
        if isinstance(found, list):
            found = tuple(found)
        if isinstance(found, tuple) != isinstance(expected, tuple) or (
            isinstance(found, tuple) and len(found) != len(expected)
        ):
            raise ConventionError(
                f"{self.name}: {what} is {_describe(found)}, expected {_describe(expected)}"
            )
        parts = found if isinstance(found, tuple) else ()
        nested = next((part for part in parts if isinstance(part, tuple | list | dict)), None)
        if nested is not None:
            raise ConventionError(f"{self.name}: {what} has a {_kind(nested)} in place of an array")
        found = tree.map(lambda wanted, value: self._check(what, value, wanted), expected, found)
        return undo(move, found, like)

    def _check(self, what: str, value: Any, wanted: Array) -> Array:
        """One array without any class of its own, if it has the shape and dtype it should have."""
        if not isinstance(value, np.ndarray | np.generic) or isinstance(value, np.ma.MaskedArray):
            raise ConventionError(
                f"{self.name}: {what} is a {_kind(value)}, expected a NumPy array"
            )
        value = np.asarray(value)
        check_shape(f"{self.name}: {what}", value, wanted.shape)
        if value.dtype != wanted.dtype:
            raise DtypeError(
                f"{self.name}: {what} is {value.dtype}, expected {wanted.dtype} as it was given"
            )
        return value


def _is_left_out(value: Any) -> bool:
    """Whether a result is not given: None, or a list of nothing but None."""
    parts = value if isinstance(value, tuple | list) and value else (value,)
    return all(part is None for part in parts)


def _is_listed(value: Any) -> bool:
    """Whether this is a list of what may be numbers."""
    return isinstance(value, tuple | list | range | np.ndarray)


def _kind(value: Any) -> str:
    return visible(type(value).__name__, MOST_IN_A_NAME)


def _describe_keys(found: Any) -> str:
    if not isinstance(found, dict):
        return _kind(found)
    return f"the keys {visible(list(islice(found, MOST_KEYS)), MOST_OF_KEYS)}"


def _describe(value: Any) -> str:
    if isinstance(value, tuple):
        return f"a list of {len(value)}"
    return "an array" if isinstance(value, np.ndarray) else f"a {_kind(value)}"
