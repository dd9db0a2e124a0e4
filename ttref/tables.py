"""Text tables with aligned columns."""


def table(header, rows):
    """Lines of columns, numbers to the right; a cell of None is left empty.

    >>> print(table(("layer", "parameters"), [("dense", 7850), ("flatten", None)]))
    layer    parameters
    -------  ----------
    dense          7850
    flatten
    """
    cells = [["" if c is None else str(c) for c in row] for row in (header, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    numeric = [any(_is_number(row[k]) for row in rows) for k in range(len(header))]
    lines = [
        "  ".join(
            c.rjust(w) if right else c.ljust(w)
            for c, w, right in zip(row, widths, numeric, strict=True)
        ).rstrip()
        for row in cells
    ]
    lines.insert(1, "  ".join("-" * w for w in widths))
    return "\n".join(lines)


def _is_number(cell):
    try:
        return cell is not None and isinstance(float(cell), float)
    except ValueError:
        return False
