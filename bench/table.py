"""Tables of figures: in a terminal, and in Markdown."""

from collections.abc import Sequence

Row = Sequence[str]


def printed(heads: Row, rows: Sequence[Row]) -> str:
    """Columns in line; the first to the left, the others to the right."""
    widths = [max(len(cell) for cell in column) for column in zip(heads, *rows, strict=True)]
    return "\n".join(_line(row, widths) for row in (heads, ["-" * width for width in widths], *rows))


def _line(row: Row, widths: Sequence[int]) -> str:
    cells = [cell.rjust(width) for cell, width in zip(row, widths, strict=True)]
    cells[0] = row[0].ljust(widths[0])
    return "  ".join(cells).rstrip()


def markdown(heads: Row, rows: Sequence[Row]) -> str:
    """The same as a Markdown table."""
    rule = ["---", *("---:" for _ in heads[1:])]
    return "\n".join("| " + " | ".join(row) + " |" for row in (heads, rule, *rows))


def number(value: float) -> str:
    """A figure with as many digits as anybody should believe: 412,000; 3.42; 0.071."""
    if value >= 1000:
        digits = len(str(int(value))) - 3
        return f"{round(value / 10**digits) * 10**digits:,}"
    return f"{value:.3g}"
