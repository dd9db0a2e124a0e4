"""`evaluate`: somebody's layer on random problems, and a verdict on each tensor.

lattice  integers for which no order of evaluation rounds: the result is the exact one, or WRONG
floats   normal numbers: the error in units of roundoff of the same layer on absolute values
         (condition) or of the tensor's largest value (normwise), WRONG above what roundings explain
"""

import functools
from dataclasses import dataclass, field

import numpy as np

from ttref import tree
from ttref.arithmetic.formats import FORMATS, numpy_dtype
from ttref.checks import check_choice, check_count
from ttref.errors import MissingExtraError, TTRefError
from ttref.oracle import truth
from ttref.oracle.diagnose import diagnose
from ttref.rng import generator
from ttref.tables import table
from ttref.testing import CASES, accuracy, exact
from ttref.testing.cases import from_generator
from ttref.testing.report import Check, Finding, Report

LAYER = "tt_linear"  # the operator that adapters are held against
DRAWS = {"lattice": truth.on_lattice, "floats": truth.on_floats}
COLUMNS = ("check", "tensor", "cases", "wrong", "undecided", "normwise u", "condition u", "verdict")


@dataclass
class Verdicts(Report):
    """What was found, per check and tensor, and what would make wrong results right."""

    diagnosis: list = field(default_factory=list)

    @property
    def ok(self):
        """Whether something was compared, and nothing is wrong."""
        return any(t.cases > t.undecided for t in self.tallies.values()) and not self.failures

    def row(self, check, tensor):
        """A row's counts, its errors in units, its first failure and its verdict."""
        tally = self.tallies[check, tensor]
        return {**super().row(check, tensor), "verdict": verdict(tally, check)}

    def __str__(self):
        cells = [[_cell(row[column]) for column in COLUMNS] for row in self.rows()]
        return "\n".join(
            [
                table(COLUMNS, cells),
                *self.diagnosis,
                *self.reasons(),
                *(f"{check} of {leaf}: {why}" for (check, leaf), why in self.failures.items()),
            ]
        )


def verdict(tally, check):
    """exact, within k units, WRONG or undecidable."""
    if tally.wrong:
        return "WRONG"
    if tally.cases == tally.undecided:
        return "undecidable"
    return "exact" if check.rung == "lattice" else f"within {tally.condition:.2g} u"


def evaluate(adapter, *, examples=200, seed=0, dtypes=None, progress=None):
    """Compare a layer with the truth on random problems.

    Parameters
    ----------
    adapter : Adapter
    examples : int
        Number of shapes; on each, in each format, one lattice case and one on random floats.
    seed : int
    dtypes : sequence of str, optional
        Formats, in place of the adapter's own.
    progress : callable, optional
        Wraps the iterable of cases, as ``tqdm`` does.

    Returns
    -------
    Verdicts

    Raises
    ------
    ConventionError, DtypeError, ShapeError
        If the adapter raises, or does not return what it should.
    """
    check_count("examples", examples)
    dtypes = tuple(dtypes or adapter.dtypes)
    for dtype in dtypes:
        check_format(dtype)
    rng, report = generator(seed), Verdicts(adapter.name)
    checks = [Check(rung, dtype) for dtype in dtypes for rung in DRAWS]
    for _ in (progress or iter)(range(examples)):
        shape = make_case(rng, adapter)
        for check in checks:
            case = DRAWS[check.rung](shape, rng, check.dtype)
            try:
                findings = findings_on(adapter, case, check.dtype) if case else unanswered(shape)
            except MissingExtraError as error:
                report.skipped[check] = str(error)
                continue
            for finding in findings:
                report.add(check, finding)
    for dtype in dtypes:
        if any(check == Check("lattice", dtype) for check, _ in report.failures):
            report.diagnosis += diagnose(adapter, dtype, lattice_cases(adapter, dtype))
            break
    return report


def check_format(dtype):
    """Raise unless NumPy has such numbers."""
    check_choice("dtype", dtype, FORMATS)
    try:
        numpy_dtype(dtype)
    except ImportError:
        raise MissingExtraError(f"{dtype} needs ml_dtypes: pip install 'ttref[exact]'") from None


def findings_on(adapter, case, dtype):
    """The findings on what the adapter gives for a case.

    Where it gives nothing, the error tells of a storage, if there is one, that it could take.
    """
    try:
        results = adapter.results(case, dtype)
    except TTRefError as error:
        found = diagnose(adapter, dtype, lattice_cases(adapter, dtype))
        hint = [words for words in found if words.startswith("everything")]
        raise type(error)("; ".join([str(error), *hint])) from error
    return judge(case, results, dtype)


def unanswered(shape):
    """The findings on a shape so large that even integers of size 1 would be rounded."""
    return [Finding(leaf, undecided=True) for leaf in ("y", *tree.flatten(shape.inputs))]


def judge(case, results, dtype):
    """The findings on results that were computed anywhere, in any way.

    Parameters
    ----------
    case : Case
        With integer inputs, of `truth.on_lattice`, for which results must be equal; or with float
        inputs, of `truth.on_floats`, for which they must be as near as roundings allow.
    results : dict
        ``{"y": array, "cores.0": gradient, ...}``, in canonical storage.
    dtype : str

    Returns
    -------
    list of Finding
    """
    if case.dy.dtype.kind == "i":
        expected = truth.exactly(case)
        return [
            Finding(leaf, _inequality(leaf, value, expected[leaf], case))
            for leaf, value in results.items()
        ]
    known = truth.certified(case, dtype)
    with np.errstate(invalid="ignore"):  # of infinities
        return [
            Finding(leaf, undecided=True)
            if known.bounds[leaf] is None
            else accuracy.judge(
                leaf, value, known.values[leaf], known.bounds[leaf], known.absolute[leaf], dtype
            )
            for leaf, value in results.items()
        ]


def make_case(rng, adapter, batches=(1, 2, 3, 4)):
    """A problem of the layer; only its shapes count."""
    case = CASES[LAYER](from_generator(rng), rng)
    if not adapter.bias:
        case.inputs.pop("bias", None)
    B = int(rng.choice(batches))
    x, dy = (np.resize(v, (B, v.shape[1])) for v in (case.inputs["x"], case.dy))
    return case._replace(inputs={**case.inputs, "x": x}, dy=dy)


def lattice_cases(adapter, dtype, count=40):
    """Cases for the diagnosis: at batches by which a division is exact."""
    rng = generator(0)
    shapes = (make_case(rng, adapter, (1, 2, 4)) for _ in range(count))
    return [case for shape in shapes if (case := truth.on_lattice(shape, rng, dtype))]


def conforms(**options):
    """Make a test of a function that returns an `Adapter`.

    Parameters
    ----------
    **options
        Of `evaluate`.

    Returns
    -------
    decorator
        The test raises AssertionError, with the table, if a tensor is wrong.

    Examples
    --------
    >>> from ttref.oracle import Adapter, conforms
    >>> from ttref import ops
    >>> @conforms(examples=5)
    ... def test_my_layer():
    ...     def gradients(params, x, dy):
    ...         dparams, dx = ops.tt_linear.backward(dy, ops.tt_linear.forward(params, x)[1])
    ...         return {**dparams, "x": dx}
    ...
    ...     return Adapter(lambda params, x: ops.tt_linear.forward(params, x)[0], gradients)
    >>> test_my_layer()
    """

    def decorate(test):
        @functools.wraps(test)
        def run(*args, **kwargs):
            report = evaluate(test(*args, **kwargs), **options)
            if not report.ok:
                raise AssertionError(f"{report.name} is wrong\n{report}")

        return run

    return decorate


def _inequality(leaf, value, expected, case):
    """The failure in the first entry that differs; `np.array_equal` is quick where none does."""
    if np.array_equal(value.astype(float), expected):
        return None
    return exact.compare(leaf, value.astype(float), expected, case)


def _cell(value):
    if isinstance(value, float):
        return f"{value:.2g}" if value else None
    return value
