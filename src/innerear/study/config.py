"""Check a study's settings against their schema, and say what to change in words.

Light on purpose: the Snakefile imports this each time it is parsed.
"""

from collections.abc import Iterator, Mapping
from math import isfinite
from typing import Any

from innerear.errors import InputError, did_you_mean


def validated(settings: Mapping, schema: Mapping) -> dict:
    """Return `settings` with the schema's defaults filled in.

    Parameters
    ----------
    settings : a study's configuration, as read from YAML.
    schema : JSON schema (draft 2020-12) of an object; ``additionalProperties: false`` makes
        unknown keys errors.

    Raises
    ------
    InputError: all violations, a line each: the key, its value, what is allowed, and for an
        unknown key the nearest known one.
    """
    from jsonschema import Draft202012Validator  # imported here: half of the module's import time

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
    filled = dict(settings)
    for name, part in schema.get("properties", {}).items():
        if name not in filled and "default" in part:
            filled[name] = part["default"]
        if name not in filled and "properties" in part:
            filled[name] = {}
        if name in filled:
            filled[name] = _with_defaults(filled[name], part)
    further = schema.get("additionalProperties")
    if isinstance(further, Mapping):
        for name in filled.keys() - schema.get("properties", {}).keys():
            filled[name] = _with_defaults(filled[name], further)
    return filled


def _refuse_infinite(value: Any, key: str) -> None:
    """YAML has .nan and .inf, which every comparison of the schema lets through."""
    if isinstance(value, Mapping):
        for name, part in value.items():
            _refuse_infinite(part, f"{key}.{name}" if key else str(name))
    elif isinstance(value, float) and not isfinite(value):
        raise InputError(f"{key}: {value} is not a finite number; give one")


def _explain(error) -> Iterator[str]:
    if error.validator == "anyOf" and isinstance(error.instance, Mapping):
        # Of the alternatives, the one that was meant is the object; the others fail by type alone.
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
    match error.validator:
        case "type":
            return f"give {value if isinstance(value, str) else ' or '.join(value)}"
        case "enum":
            return f"choose one of {', '.join(map(repr, value))}"
        case "minimum":
            return f"the least is {value}"
        case "maximum":
            return f"the most is {value}"
        case "exclusiveMinimum":
            return f"it must be above {value}"
        case "exclusiveMaximum":
            return f"it must be below {value}"
        case "minItems":
            return f"give at least {value}"
        case "pattern":
            return f"it must match {value}"
        case _:
            return error.message
