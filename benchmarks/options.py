"""Numbers that a benchmark takes from the command line."""

import math
from argparse import ArgumentTypeError


def count(text: str) -> int:
    """Return a number of things, 1 or more."""
    if text.isdecimal() and int(text) > 0:
        return int(text)
    raise ArgumentTypeError(f"{text!r} is no number of things: give 1 or more")


def duration(text: str) -> float:
    """Return seconds, more than 0."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if 0 < seconds < math.inf:
        return seconds
    raise ArgumentTypeError(f"{text!r} is no time in seconds: give more than 0")
