"""Work through many rows a few at a time, so that memory stays bounded."""

from collections.abc import Iterator


def pieces(n_rows: int, row_size: int, at_most: int = 2**24) -> Iterator[slice]:
    """Yield slices that cover all rows; each holds at most so many numbers, `row_size` a row, or one row.

    Examples
    --------
    >>> list(pieces(5, 10, at_most=20))
    [slice(0, 2, None), slice(2, 4, None), slice(4, 6, None)]
    """
    size = max(1, at_most // max(row_size, 1))
    for start in range(0, n_rows, size):
        yield slice(start, start + size)
