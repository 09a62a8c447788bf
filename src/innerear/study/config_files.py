"""Read a configuration, and refuse values that YAML silently reads as something other than was written."""

import json
import re
from collections.abc import Iterable, Iterator
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

import yaml

from innerear.errors import InputError, shown

_FAST = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
# 010 is 8, and 1:30 is 90.
_OTHER_NUMBER = re.compile(r"[+-]?0[0-9_]+|.*:.*")
_NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")


class _Loader(yaml.SafeLoader):
    """Says where a value stands that its tag does not allow."""

    def construct_object(self, node: Any, deep: bool = False) -> Any:
        """Return a node's value."""
        try:
            return super().construct_object(node, deep)
        # A date that does not exist, a number of thousands of digits, a word after !!bool
        except (AttributeError, KeyError, ValueError):
            problem = f"{shown(node.value)} is no {node.tag.rpartition(':')[2]}; put a text in quotes"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark) from None


def read_file(path: str | PathLike) -> Any:
    """Return what a YAML file holds: as a rule keys with values, None if it is empty.

    Raises
    ------
    InputError: the file, with the line where there is one, and what is wrong: no UTF-8, no YAML, a value that
        is none of its kind, or too many levels.
    FileNotFoundError, OSError: as from `open`.
    """
    try:
        with open(path, encoding="utf-8-sig") as file:
            return yaml.load(file, _Loader)
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is no text in UTF-8 ({error.reason}); save it as UTF-8") from None
    except RecursionError:
        raise InputError(f"{path} is nested too deeply; no study needs so many levels") from None
    except yaml.MarkedYAMLError as error:
        at = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise InputError(f"{path}{at}: {error.problem}") from None
    except yaml.YAMLError as error:  # a character that YAML does not allow
        raise InputError(f"{path} is no YAML ({' '.join(str(error).split())})") from None


def check_files(paths: Iterable[str | PathLike]) -> None:
    """Refuse what the settings no longer show: a key given twice, and numbers in bases 8 and 60.

    Raises
    ------
    InputError: the file, the line, and what stands there.
    """
    for path in paths:
        text = Path(path).read_text("utf-8")
        try:
            json.loads(text, object_pairs_hook=partial(_once, path))
        except json.JSONDecodeError:  # the other form of a configuration
            for line, problem in _problems(_root(text)):
                raise InputError(f"{path}, line {line}: {problem}") from None


def _once(path: str | PathLike, pairs: list[tuple[str, object]]) -> None:
    names: set[str] = set()
    for name, _ in pairs:
        if name in names:
            raise InputError(f"{path}: the key {shown(name)} is given twice; keep one of them")
        names.add(name)


def _root(text: str) -> yaml.Node | None:
    """Return what YAML reads; None where this loader is stricter than Snakemake's."""
    try:
        return yaml.compose(text, _FAST)
    except yaml.YAMLError:
        return None


def _problems(root: yaml.Node | None) -> Iterator[tuple[int, str]]:
    """Yield line and problem; an alias leads to a node that was seen before."""
    waiting, seen = [root] if root else [], set()
    while waiting:
        node = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            yield from _repeated(node)
            waiting.extend(value for _, value in node.value)
        elif isinstance(node, yaml.SequenceNode):
            waiting.extend(node.value)
        elif node.tag in _NUMBERS and _OTHER_NUMBER.fullmatch(node.value):
            yield (
                node.start_mark.line + 1,
                f"YAML takes {node.value} for another number; write it without 0 in front, and without :",
            )


def _repeated(mapping: yaml.MappingNode) -> Iterator[tuple[int, str]]:
    """Yield line and problem of each key that was given before."""
    names = set()
    for key, _ in mapping.value:
        if isinstance(key, yaml.ScalarNode) and key.value != "<<":
            if key.value in names:
                yield key.start_mark.line + 1, f"the key {shown(key.value)} is given twice; keep one of them"
            names.add(key.value)
