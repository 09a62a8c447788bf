"""Check a study's settings against their schema, with messages that say what to change."""

from collections.abc import Iterator, Mapping
from math import isfinite
from typing import Any

from innerear.errors import InputError, did_you_mean

_ALLOWED = {
    "type": "give",
    "enum": "choose one of",
    "minimum": "the least is",
    "maximum": "the most is",
    "exclusiveMinimum": "it must be above",
    "exclusiveMaximum": "it must be below",
    "minItems": "give at least",
    "pattern": "it must match",
}


def validated(settings: Mapping, schema: Mapping) -> dict:
    """Return a study's settings with the defaults of a JSON schema (draft 2020-12) filled in.

    Raises
    ------
    InputError: all violations, one per line: the key, its value, what is allowed, and for an unknown key the
        nearest known one.
    """
    from jsonschema import Draft202012Validator  # half of the module's import time

    complete = _with_defaults(dict(settings), schema)
    _refuse_infinite(complete, "")
    errors = sorted(Draft202012Validator(schema).iter_errors(complete), key=lambda error: list(error.path))
    if errors:
        lines = [line for error in errors for line in _explain(error)]
        raise InputError("the configuration cannot be used:\n" + "\n".join(f"  - {line}" for line in lines))
    return complete


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


def _refuse_infinite(value: Any, key: str) -> None:
    """Refuse YAML's .nan and .inf, which pass the schema's comparisons."""
    if isinstance(value, Mapping):
        for name, part in value.items():
            _refuse_infinite(part, f"{key}.{name}" if key else str(name))
    elif isinstance(value, float) and not isfinite(value):
        raise InputError(f"{key}: {value} is not a finite number; give one")


def _explain(error) -> Iterator[str]:
    if error.validator == "anyOf" and isinstance(error.instance, Mapping):
        # The user meant the alternative that is an object; the others fail by type.
        for part in error.context:
            if part.validator in ("additionalProperties", "required"):
                yield from _explain(part)
        return
    key = ".".join(str(part) for part in error.absolute_path)
    if error.validator == "additionalProperties":
        known = list(error.schema.get("properties", {}))
        for name in error.instance:
            if name not in known:
                full = f"{key}.{name}" if key else name
                nearest = did_you_mean(name, known)
                yield f"{full}: unknown key{nearest}; known here: {', '.join(known)}"
    elif error.validator == "required":
        missing = [name for name in error.validator_value if name not in error.instance]
        yield f"{key or 'the top level'}: {', '.join(missing)} must be given"
    else:
        about = error.schema.get("description", "")
        meaning = f" ({about})" if about else ""
        yield f"{key}: {error.instance!r} is not allowed; {_allowed(error)}{meaning}"


def _allowed(error) -> str:
    value = error.validator_value
    if error.validator == "type":
        value = value if isinstance(value, str) else " or ".join(value)
    elif error.validator == "enum":
        value = ", ".join(map(repr, value))
    allowed = _ALLOWED.get(error.validator)
    return f"{allowed} {value}" if allowed else error.message
