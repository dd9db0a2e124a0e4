"""The pytest plugin of ttref: ``--ttref-profile``, ``--ttref-report`` and `ttref_report`.

A module of its own, for pytest imports it at every start, in every project: it imports ttref only
where one of the three is used.
"""

import json
from pathlib import Path

import pytest


def pytest_addoption(parser):
    """Add the two options."""
    group = parser.getgroup("ttref")
    group.addoption("--ttref-profile", metavar="NAME", help="hypothesis profile: dev, ci, nightly")
    group.addoption(
        "--ttref-report",
        metavar="FILE",
        help="write what the tests hand to ttref_report there, a line of JSON each",
    )


def pytest_configure(config):
    """Load the profile, and empty the file."""
    name, file = config.getoption("ttref_profile"), config.getoption("ttref_report")
    if name is not None:
        from ttref.errors import ConventionError

        try:
            from ttref.testing.profiles import load

            load(name)
        except (ConventionError, ImportError) as error:
            raise pytest.UsageError(f"--ttref-profile: {error}") from None
    if file and not hasattr(config, "workerinput"):  # workers of xdist add to it
        (config.invocation_params.dir / file).write_text("")


@pytest.fixture
def ttref_report(request):
    """A function that keeps a `ttref.testing.Report` for ``--ttref-report`` and fails unless ok."""
    config = request.config
    file = config.getoption("ttref_report")

    def keep(report):
        if file:
            line = {
                "test": request.node.nodeid,
                "operator": report.name,
                "ok": report.ok,
                "skipped": {str(check): why for check, why in report.skipped.items()},
                "rows": report.rows(),
            }
            with Path.open(config.invocation_params.dir / file, "a") as lines:
                lines.write(json.dumps(line) + "\n")
        assert report.ok, "\n".join([str(report), *report.sentences()])
        return report

    return keep
