"""Text tables with aligned columns."""

from collections.abc import Sequence

from ttref.errors import visible

MOST_IN_A_CELL = 500  # characters


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Lay out a table as text: columns of numbers to the right, cells of None empty.

    Escape characters are shown as such, and long cells are cut, by `ttref.errors.visible`.

    Parameters
    ----------
    header : sequence of C str
    rows : sequence of rows of C cells

    Returns
    -------
    str
        A line for the header, a rule, and a line for each row.

    Examples
    --------
    >>> print(table(("layer", "parameters"), [("dense", 7850), ("flatten", None)]))
    layer    parameters
    -------  ----------
    dense          7850
    flatten
    """
    cells = [
        ["" if cell is None else visible(cell, MOST_IN_A_CELL) for cell in row]
        for row in (header, *rows)
    ]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    is_numeric = [any(_is_number(row[k]) for row in rows) for k in range(len(header))]
    lines = []
    for row in cells:
        columns = zip(row, widths, is_numeric, strict=True)
        padded = [c.rjust(width) if right else c.ljust(width) for c, width, right in columns]
        lines.append("  ".join(padded).rstrip())
    rule = "  ".join("-" * width for width in widths)
    return "\n".join([lines[0], rule, *lines[1:]])


def _is_number(cell: object) -> bool:
    try:
        float(str(cell))
    except ValueError:
        return isinstance(cell, bool)
    return True
