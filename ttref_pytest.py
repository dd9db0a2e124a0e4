"""The pytest plugin of ttref: ``--ttref-profile``, ``--ttref-report`` and `ttref_report`.

It is a module outside the package, because pytest imports it at every start, in every project. It
imports ttref only where one of the three is used.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from ttref.testing import Report


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the two options."""
    group = parser.getgroup("ttref")
    group.addoption("--ttref-profile", metavar="NAME", help="hypothesis profile: dev, ci, nightly")
    group.addoption(
        "--ttref-report",
        metavar="FILE",
        help="write what the tests hand to ttref_report there, a line of JSON each",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Load the profile, and empty the file."""
    # The profile of hypothesis.
    name = config.getoption("ttref_profile")
    if name is not None:
        from ttref.errors import ConventionError

        try:
            from ttref.testing.profiles import load

            load(name)
        except (ConventionError, ImportError) as error:
            raise pytest.UsageError(f"--ttref-profile: {error}") from None

    # The file of reports; the workers of xdist only add to it.
    file = config.getoption("ttref_report")
    if file and not hasattr(config, "workerinput"):
        path = _report_file(config, file)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("")
        except OSError as error:
            raise pytest.UsageError(
                f"--ttref-report: {file} cannot be written: {error.strerror}"
            ) from None


def _report_file(config: pytest.Config, file: str) -> Path:
    return config.invocation_params.dir / Path(file).expanduser()


@pytest.fixture
def ttref_report(request: pytest.FixtureRequest) -> "Callable[[Report], Report]":
    """Return a function that writes a `ttref.testing.Report` for ``--ttref-report``.

    It fails the test unless the report is ok, and returns the report.
    """
    config = request.config
    file = config.getoption("ttref_report")

    def keep(report: "Report") -> "Report":
        if file:
            line = {
                "test": request.node.nodeid,
                "operator": report.name,
                "ok": report.ok,
                "skipped": {str(check): why for check, why in report.skipped.items()},
                "rows": report.rows(),
            }
            with _report_file(config, file).open("a") as lines:
                lines.write(json.dumps(line) + "\n")
        assert report.ok, "\n".join([str(report), *report.sentences()])
        return report

    return keep
