"""Tables of Markdown."""

from collections.abc import Iterable, Sequence
from typing import Any


def markdown(header: Sequence[Any], rows: Iterable[Sequence[Any]]) -> str:
    """Make a table."""
    lines = ["| " + " | ".join(map(str, row)) + " |" for row in (header, *rows)]
    return "\n".join([lines[0], "|---" * len(header) + "|", *lines[1:]])
