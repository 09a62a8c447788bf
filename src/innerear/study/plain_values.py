"""Refuse values that cannot be settings, before anything is copied or computed from them."""

from collections.abc import Mapping
from math import isfinite
from typing import Any

from innerear.errors import InputError, shown
from innerear.study.names import check_characters

#: the most values of a study and keys of a section, the deepest nesting, the longest text, the most digits
MAX_VALUES, MAX_KEYS, MAX_DEPTH, MAX_CHARACTERS, MAX_DIGITS = 200_000, 500, 12, 10_000, 300


def check_plain(settings: Any) -> None:
    """Refuse settings that hold anything but keys, lists, texts, numbers, switches and null.

    Raises
    ------
    InputError: a key that is no text; dates and other objects of YAML; .nan and .inf; a text with control
        characters; a longer text, more values or deeper nesting than any study has (a YAML alias can repeat a
        list many times, and can hold itself).
    """
    waiting, found = [("", settings, 0)], 0
    while waiting:
        key, value, depth = waiting.pop()
        found += 1
        if isinstance(value, Mapping | list | tuple):
            if depth == MAX_DEPTH or found + len(waiting) + len(value) > MAX_VALUES:
                raise InputError(
                    f"{key or 'the configuration'} holds over {MAX_VALUES:,} values or {MAX_DEPTH} levels; "
                    "no study needs so many: is an alias of YAML used too often?"
                )
            if isinstance(value, Mapping) and len(value) > MAX_KEYS:
                raise InputError(
                    f"{key or 'the configuration'} has {len(value):,} keys; the most are {MAX_KEYS}"
                )
            parts = value.items() if isinstance(value, Mapping) else enumerate(value)
            waiting.extend((_key(key, name, value), part, depth + 1) for name, part in parts)
        else:
            _check_scalar(value, key)


def joined(key: str, name: str) -> str:
    """Return the name of a key within a section, such as ``generation.duration``."""
    return f"{key}.{name[:80]}" if key else name[:80]


def _key(key: str, name: Any, within: Any) -> str:
    if not isinstance(within, Mapping):
        return joined(key, str(name))
    if not isinstance(name, str):
        raise InputError(
            f"{joined(key, shown(name))}: unknown key, which is no text; YAML takes numbers, dates and words "
            "such as yes, no, on and off for something else unless they are in quotes"
        )
    check_characters(name, f"a key of {key or 'the configuration'}")
    return joined(key, name)


def _check_scalar(value: Any, key: str) -> None:
    if isinstance(value, str):
        check_characters(value, key)
        if len(value) > MAX_CHARACTERS:
            raise InputError(f"{key}: a text of {len(value):,} characters; the most is {MAX_CHARACTERS:,}")
    elif isinstance(value, float):
        if not isfinite(value):
            raise InputError(f"{key}: {value} is not a finite number; give one")
    elif isinstance(value, int):
        if abs(value) >= 10**MAX_DIGITS:
            raise InputError(
                f"{key}: a number of more than {MAX_DIGITS} digits is not allowed; give a smaller one"
            )
    elif value is not None:
        raise InputError(
            f"{key}: {shown(value)} is no plain value; if it is meant as a text, put it in quotes"
        )
