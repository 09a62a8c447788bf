"""What a job leaves behind: its log, its whole files, and the fingerprint of the code that made them."""

import ast
import fcntl
import hashlib
import importlib.util
import logging
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from glob import escape
from pathlib import Path
from typing import TextIO

from innerear.errors import InputError


class _Tee:
    """A text stream that also writes to a log file, so that progress shows in both."""

    def __init__(self, stream: TextIO, log: TextIO) -> None:
        self.stream, self.log = stream, log

    def write(self, text: str) -> int:
        self.log.write(text)
        return self.stream.write(text)

    def flush(self) -> None:
        self.log.flush()
        self.stream.flush()

    def __getattr__(self, name: str):
        return getattr(self.stream, name)


@contextmanager
def log_to(path: str | os.PathLike) -> Iterator[None]:
    """Copy what is printed, logged or raised to the file `path`, line by line.

    An `InputError` ends the process with its message alone: the message says what to do,
    and a traceback would bury it. Any other exception keeps its traceback.
    """
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", buffering=1) as log:
        stdout, stderr = sys.stdout, sys.stderr
        sys.stdout, sys.stderr = _Tee(stdout, log), _Tee(stderr, log)
        handler = logging.StreamHandler(sys.stderr)
        logging.getLogger().addHandler(handler)
        try:
            yield
        except InputError as error:
            print(f"error: {error}", file=sys.stderr)
            raise SystemExit(1) from None
        except BaseException:
            log.write(traceback.format_exc())
            raise
        finally:
            logging.getLogger().removeHandler(handler)
            sys.stdout, sys.stderr = stdout, stderr


@contextmanager
def atomic(path: str | os.PathLike) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success fsync it and rename it to `path`.

    A name that exists is therefore whole. On an exception the temporary file is removed and
    whatever stood under `path` is untouched. A process killed on the way leaves its temporary file,
    which the next one that writes `path` removes. The temporary name holds the process id, so two
    processes that write the same file do not meet, and keeps the suffix, by which writers
    choose their format.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    _sweep(path)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.partial{path.suffix}")
    try:
        yield temporary
        with open(temporary, "rb") as written:
            os.fsync(written.fileno())
        os.replace(temporary, path)
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()


def _sweep(path: Path) -> None:
    """Remove the temporary files of `path` whose writers are no more."""
    for temporary in path.parent.glob(f".{escape(path.stem)}.*.partial{path.suffix}"):
        process = temporary.name.removeprefix(f".{path.stem}.").removesuffix(f".partial{path.suffix}")
        if process.isdigit() and not _is_alive(int(process)):
            temporary.unlink(missing_ok=True)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it is someone else's
        return True
    return True


def hold(path: str | os.PathLike) -> None:
    """Lock the file `path` for as long as this process lives, however it ends.

    The operating system lets go of the lock, also after ``kill -9``, so that nobody has to unlock. The file
    stays and holds the id of the last process. A file system without locks locks nothing.

    Raises
    ------
    InputError: another process holds it.
    """
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    file = os.open(path, os.O_RDWR | os.O_CREAT)  # never closed: closing lets go
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(file, 20).decode() or "unknown"
        os.close(file)
        raise InputError(
            f"process {holder} is at work and holds {path}: two at once would undo each other's files; "
            "wait for it, or stop it"
        ) from None
    except OSError:
        return
    os.truncate(file, 0)
    os.write(file, str(os.getpid()).encode())


def fingerprint(module: str) -> str:
    """Hash the code of an innerear module and of every innerear module that it imports.

    Comments, docstrings and layout are stripped, so that only an edit that can change a result
    changes the fingerprint. The modules are parsed, never imported.

    Parameters
    ----------
    module : dotted name, such as ``"innerear.similarity"``.

    Returns
    -------
    The module's name, so that Snakemake's reason for a rerun says whose code changed, and 16 hexadecimal
    digits.

    Raises
    ------
    InputError: the module does not exist.
    """
    digest = hashlib.sha256()
    for name in sorted(_with_imports(module)):
        digest.update(name.encode() + _stripped_source(name))
    return f"{module} {digest.hexdigest()[:16]}"


def _with_imports(module: str) -> set[str]:
    found, waiting = set(), [module]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting.extend(_imports(name))
    return found


@cache
def _source(module: str) -> ast.Module:
    root = Path(__file__).parent
    path = root.joinpath(*module.split(".")[1:])
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    if not path.is_file():
        raise InputError(f"{module!r} is not a module of innerear: {path} does not exist")
    return ast.parse(path.read_text())


@cache
def _is_module(name: str) -> bool:
    root = Path(__file__).parent.joinpath(*name.split(".")[1:])
    return root.is_dir() or root.with_suffix(".py").is_file()


@cache
def _imports(module: str) -> tuple[str, ...]:
    names = set()
    for node in _statements(_source(module)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                base = importlib.util.resolve_name("." * node.level + base, _package(module))
            names.add(base)
            names.update(f"{base}.{alias.name}" for alias in node.names)
    return tuple(name for name in names if name.startswith("innerear.") and _is_module(name))


def _statements(block: ast.AST) -> Iterator[ast.AST]:
    """Walk the statements below a node, but not their expressions, of which there are ten times as many."""
    for part in ("body", "orelse", "finalbody", "handlers", "cases"):
        for node in getattr(block, part, ()):
            yield node
            yield from _statements(node)


def _package(module: str) -> str:
    is_package = Path(__file__).parent.joinpath(*module.split(".")[1:]).is_dir()
    return module if is_package else module.rpartition(".")[0]


@cache
def _stripped_source(module: str) -> bytes:
    tree = _source(module)
    for node in (tree, *_statements(tree)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree).encode()
