"""The fingerprint of the code behind a rule: it changes when an edit can change a result, and only then.

Parsing every module takes half a second, and a job on a cluster plans twice before it begins. What each
module says is therefore noted in Snakemake's own folder, with the hash of its text.
"""

import ast
import hashlib
import importlib.util
import json
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path

from innerear.errors import InputError
from innerear.io.files import atomic

_PACKAGE = Path(__file__).parents[1]
_NOTES = Path(".snakemake/innerear-code.json")


# Templates of pages: what a module reads from its own folder.
_PAGES = {".html", ".css", ".js", ".svg"}
# What these do changes no result: an edit there runs nothing again.
_NO_RESULT = {f"innerear.io.{name}" for name in ("log", "locks", "devices", "machine", "caches")}


def fingerprint(script: Path, *modules: str) -> str:
    """Hash the code of every innerear module that a rule's script imports, directly or through others.

    Comments, docstrings and layout are stripped: only an edit that can change a result changes the
    fingerprint. The modules are parsed, never imported.

    Parameters
    ----------
    script : the rule's script; its own text is Snakemake's to follow.
    modules : dotted names of modules that it imports by a name that it computes.

    Returns
    -------
    The first of `modules`, or else the script's name, and 16 hexadecimal digits: Snakemake's reason for a
    rerun then says whose code changed.

    Raises
    ------
    InputError: a module does not exist.
    """
    notes = _notes()
    known = dict(notes)
    direct = {name for name in _imports(ast.parse(script.read_text("utf-8")), "") if _is_module(name)}
    digest, found, waiting = hashlib.sha256(), set(_NO_RESULT), [*modules, *direct]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting.extend(one for one in _read(name)["imports"] if _is_module(one))
    found -= _NO_RESULT
    for name in sorted(found):
        digest.update(f"{name} {_read(name)['code']}\n".encode())
    for folder in sorted({_file(name).parent for name in found}):
        digest.update(_pages(folder))
    if notes != known:
        # Notes save time and nothing else: where none can be kept, each plan parses anew.
        with suppress(OSError, InputError), atomic(_NOTES) as temporary:
            temporary.write_text(json.dumps(notes), "utf-8")
    return f"{modules[0] if modules else script.name} {digest.hexdigest()[:16]}"


@cache
def _notes() -> dict[str, dict]:
    """Return what earlier plans noted of each module: hash of its text, its imports, hash of its code."""
    try:
        return json.loads(_NOTES.read_text("utf-8"))
    except (OSError, ValueError):
        return {}


@cache
def _read(module: str) -> dict:
    """Return what a module's text says, from the notes if the text is that of the note."""
    if not _is_module(module):
        raise InputError(f"{module!r} is not a module of innerear: {_file(module)} does not exist")
    text = _file(module).read_bytes()
    source = hashlib.sha256(text + _own_text()).hexdigest()
    noted = _notes().get(module)
    if noted and noted["source"] == source:
        return noted
    tree = ast.parse(text)
    code = hashlib.sha256(_stripped(tree).encode()).hexdigest()
    _notes()[module] = {"source": source, "imports": sorted(_imports(tree, module)), "code": code}
    return _notes()[module]


@cache
def _own_text() -> bytes:
    """This module's text: what it noted in another version of itself does not hold."""
    return Path(__file__).read_bytes()


@cache
def _pages(folder: Path) -> bytes:
    """Return the names and texts of a folder's templates of pages."""
    pages = sorted(path for path in folder.iterdir() if path.suffix in _PAGES)
    return b"".join(page.name.encode() + page.read_bytes() for page in pages)


@cache
def _is_module(name: str) -> bool:
    return _file(name).is_file()


@cache
def _file(module: str) -> Path:
    """Return where the text of a module would lie."""
    path = _PACKAGE.joinpath(*module.split(".")[1:])
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _imports(tree: ast.Module, module: str) -> set[str]:
    """Name what may be an innerear module among a module's imports; of ``from a import b`` also a.b."""
    names = set()
    for node in _statements(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                package = module if _file(module).stem == "__init__" else module.rpartition(".")[0]
                base = importlib.util.resolve_name("." * node.level + base, package)
            names.add(base)
            names.update(f"{base}.{alias.name}" for alias in node.names)
    return {name for name in names if name.startswith("innerear.")}


def _statements(block: ast.AST) -> Iterator[ast.AST]:
    """Walk the statements below a node, but not their expressions, of which there are ten times as many."""
    for part in ("body", "orelse", "finalbody", "handlers", "cases"):
        for node in getattr(block, part, ()):
            yield node
            yield from _statements(node)


def _stripped(tree: ast.Module) -> str:
    """Write a module's code without comments, docstrings and layout."""
    for node in (tree, *_statements(tree)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)
