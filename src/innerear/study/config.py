"""Check a study's settings against their schema, with messages that say what to change."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from itertools import islice
from math import isfinite
from typing import Any

import yaml

from innerear.errors import InputError, did_you_mean, shown
from innerear.study.plain_values import check_plain, joined

#: the most violations that one message lists
MAX_LINES = 20
#: a whole number from which on an exponent is plainer than digits
MOST_WRITTEN_OUT = 1e15

_ALLOWED = {
    "enum": "choose one of",
    "minimum": "the least is",
    "maximum": "the most is",
    "exclusiveMinimum": "it must be above",
    "exclusiveMaximum": "it must be below",
    "minItems": "the least number of entries is",
    "maxItems": "the most entries are",
    "maxProperties": "the most entries are",
    "minLength": "the least number of characters is",
    "maxLength": "the most characters are",
    "pattern": "it must match",
}
_KINDS = {
    "object": "keys with values",
    "array": "a list",
    "string": "a text",
    "number": "a number",
    "integer": "a whole number",
    "boolean": "true or false",
    "null": "null",
}


def validated(settings: Mapping, schema: Mapping) -> dict:
    """Return a study's settings with the defaults of a JSON schema (draft 2020-12) filled in.

    Keys stand in the schema's order, and whole numbers such as 250.0 become integers.

    Raises
    ------
    InputError: all violations, one per line: the key, its value, what is allowed, and for an unknown key the
        nearest known one.
    """
    from jsonschema import Draft202012Validator  # half of the module's import time

    if not isinstance(settings, Mapping):
        raise InputError(f"the configuration is {shown(settings)}; give keys with values")
    check_plain(settings)
    complete = _with_defaults(settings, schema)
    errors = Draft202012Validator(schema).iter_errors(complete)
    lines = list(islice((line for error in errors for line in _explain(error)), MAX_LINES))
    if lines:
        listed = "\n".join(f"  - {line}" for line in sorted(lines))
        raise InputError(f"the configuration cannot be used:\n{listed}")
    return _canonical(complete, schema)


def documented_keys(schema: Mapping, prefix: str = "") -> Iterator[tuple[str, Mapping]]:
    """Yield each key of the schema with its own schema, depth first, as ``section.key``."""
    for name, part in schema.get("properties", {}).items():
        if "properties" in part:
            yield from documented_keys(part, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", part


def _with_defaults(settings: Any, schema: Mapping) -> Any:
    if not isinstance(settings, Mapping):
        return settings
    properties, further = schema.get("properties", {}), schema.get("additionalProperties") or {}
    filled = dict(settings)
    for name, part in properties.items():
        if "default" in part or "properties" in part:
            filled.setdefault(name, part.get("default", {}))
    return {name: _with_defaults(value, properties.get(name, further)) for name, value in filled.items()}


def _canonical(value: Any, schema: Mapping) -> Any:
    """Return the one form of equal valid values, by which Snakemake compares them.

    Keys stand in the schema's order, other keys by name. Whole numbers are integers: JSON schema counts 1.0
    as one.
    """
    for part in schema.get("anyOf", ()):
        value = _canonical(value, part)
    if isinstance(value, Mapping):
        properties, further = schema.get("properties", {}), schema.get("additionalProperties") or {}
        names = [*filter(value.__contains__, properties), *sorted(value.keys() - properties)]
        return {name: _canonical(value[name], properties.get(name, further)) for name in names}
    if isinstance(value, list | tuple) and "items" in schema:
        return [_canonical(part, schema["items"]) for part in value]
    kinds = schema.get("type", ())
    if isinstance(value, float) and value.is_integer() and ("integer" in kinds or "number" in kinds):
        return int(value)
    return value


def _explain(error: Any) -> Iterator[str]:
    key = ".".join(str(part) for part in error.absolute_path)
    meant = _meant(error) if error.validator == "anyOf" else []
    if meant:
        for part in meant:
            yield from _explain(part)
    elif error.validator == "additionalProperties":
        known = list(error.schema.get("properties", {}))
        for name in error.instance:
            if name not in known:
                nearest = did_you_mean(name, known)
                yield f"{joined(key, name)}: unknown key{nearest}; known here: {', '.join(known)}"
    elif error.validator == "required":
        missing = [name for name in error.validator_value if name not in error.instance]
        yield f"{key or 'the top level'}: {', '.join(missing)} must be given"
    else:
        about = error.schema.get("description", "")
        meaning = f" ({about})" if about else ""
        value = "null" if error.instance is None else shown(error.instance)
        yield f"{key}: {value} is not allowed; {_allowed(error)}{meaning}"


def _meant(error: Any) -> Sequence[Any]:
    """Return the violations of the alternative with the value's type; none if not exactly one has it."""
    alternatives: dict[int, list[Any]] = {}
    for part in error.context:
        alternatives.setdefault(part.schema_path[0], []).append(part)
    fitting = [parts for parts in alternatives.values() if not any(map(_of_another_type, parts))]
    if isinstance(error.instance, str) and _is_number(error.instance):
        # A number in quotes is a number, where one is allowed.
        fitting = [parts for parts in alternatives.values() if any(map(_asks_for_number, parts))] or fitting
    return fitting[0] if len(fitting) == 1 else []


def _asks_for_number(part: Any) -> bool:
    return not part.path and part.validator == "type" and part.validator_value in ("integer", "number")


def _is_number(text: str) -> bool:
    with suppress(ValueError):
        return isfinite(float(text))
    return False


def _of_another_type(part: Any) -> bool:
    another = part.validator == "enum" and not isinstance(part.instance, str)
    return not part.path and (part.validator == "type" or another)


def _allowed(error: Any) -> str:
    value = error.validator_value
    if error.validator == "type":
        kinds = [value] if isinstance(value, str) else value
        wanted = " or ".join(_KINDS[kind] for kind in kinds)
        return f"give {wanted}{_hint(error.instance, kinds)}"
    if error.validator == "enum":
        value = ", ".join(map(repr, value))
    allowed = _ALLOWED.get(error.validator)
    return f"{allowed} {value}" if allowed else _shortened(error)


def _hint(value: Any, kinds: Sequence[str]) -> str:
    """Say why YAML may have read something else than was meant."""
    if value is None:
        return "; nothing stands after the key: leave it out, or write its value"
    number = _text_for_number(value) if isinstance(value, str) else None
    if number is not None and {"number", "integer"} & set(kinds):
        return f"; YAML takes {value} for a text, write {number}"
    if isinstance(value, str) and {"number", "integer", "boolean"} & set(kinds):
        return ", without quotes and not inside braces or brackets of --config, which holds texts"
    if "string" in kinds and not isinstance(value, str | list | Mapping):
        return ", in quotes"
    return ""


def _text_for_number(value: str) -> str | None:
    """Return how YAML writes a number that it reads as a text though it stands without quotes, such as 1e3.

    >>> _text_for_number("1e3"), _text_for_number("0o100"), _text_for_number("1e-9"), _text_for_number("12")
    ('1000', '64', '1.0e-09', None)
    """
    for read in (partial(int, base=0), float):
        with suppress(ValueError):
            number = read(value)
            if isfinite(number) and isinstance(yaml.safe_load(value), str):
                whole = abs(number) < MOST_WRITTEN_OUT and number == int(number)
                return yaml.safe_dump(int(number) if whole else number).split()[0]
    return None


def _shortened(error: Any) -> str:
    if error.validator == "anyOf":
        kinds = [part.get("type", "string") for part in error.validator_value]
        return "give " + " or ".join(_KINDS[kind] for kind in kinds)
    return "no entry may be there twice" if error.validator == "uniqueItems" else shown(error.message)
