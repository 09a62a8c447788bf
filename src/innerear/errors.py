"""The error for input that the user must change, and how its message shows a value."""

from collections.abc import Iterable
from difflib import get_close_matches
from reprlib import Repr
from typing import Any

_SHORT = Repr()
_SHORT.maxlist = _SHORT.maxtuple = _SHORT.maxdict = _SHORT.maxset = 6
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 80
_SHORT.maxlevel = 3


class InputError(ValueError):
    """Something the user gave cannot be used.

    The message names the value, its place, and what to do.
    """


def did_you_mean(word: str, allowed: Iterable[str]) -> str:
    """Return ``" (did you mean 'x'?)"`` for the nearest allowed word, or an empty string.

    >>> did_you_mean("db", ["distance", "dB"])
    " (did you mean 'dB'?)"
    """
    names = {name.casefold(): name for name in allowed}
    match = get_close_matches(word[:100].casefold(), names, n=1)
    return f" (did you mean {names[match[0]]!r}?)" if match else ""


def shown(value: Any) -> str:
    """Return any value on one short line.

    >>> shown(list(range(10**6)))
    '[0, 1, 2, 3, 4, 5, ...]'
    """
    try:
        text = " ".join(_SHORT.repr(value).split())
    except ValueError:  # an int of thousands of digits
        return "a number of more than 4300 digits"
    return text if len(text) <= 120 else f"{text[:117]}…"
