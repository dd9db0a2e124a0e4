"""How many random cases a test takes: few and small ones, or all in ``scripts/test --all``."""

import pytest


def amounts(few: int, many: int) -> pytest.MarkDecorator:
    """Parametrise a test by `amount`, options of `check_op`; that of many cases is slow."""
    quick = {"examples": few, "sizes": "small"}
    slow = pytest.param({"examples": many}, marks=pytest.mark.slow, id="many")
    return pytest.mark.parametrize("amount", [pytest.param(quick, id="few"), slow])
