"""Copy what a job prints, logs or raises into its log file."""

import logging
import os
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from innerear.errors import InputError
from innerear.io.machine import cannot, machine_fault

#: In the environment of jobs whose run shows its own progress: what they print goes to their logs alone.
LOGS_ALONE = "INNEREAR_LOGS_ALONE"


class _Log:
    """A log file; where it can no longer be written, this is said once and the job goes on."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: TextIO | None = None
        with self._trying():
            path.parent.mkdir(parents=True, exist_ok=True)
            # Names of files may hold bytes that are no UTF-8.
            self._file = open(path, "w", buffering=1, encoding="utf-8", errors="backslashreplace")  # noqa: SIM115

    def write(self, text: str) -> None:
        """Write a text, if the file can be written."""
        with self._trying():
            if self._file:
                self._file.write(text)

    def flush(self) -> None:
        """Hand to the system what was written."""
        with self._trying():
            if self._file:
                self._file.flush()

    def close(self) -> None:
        """Close the file."""
        with self._trying():
            if self._file:
                self._file.close()

    @contextmanager
    def _trying(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            file, self._file = self._file, None
            with suppress(OSError):  # what it still holds fails again
                if file:
                    file.close()
            said = cannot("written", self._path, error) or f"{self._path} cannot be written: {error}"
            print(f"warning: {said}; the job goes on without a log", file=sys.__stderr__)


class _Tee:
    """A text stream that also writes to a log file, or to that alone."""

    def __init__(self, stream: TextIO, log: _Log) -> None:
        self.stream, self.log = stream, log
        self.shown = LOGS_ALONE not in os.environ
        self._inside = False  # a line, such as that of a bar

    def write(self, text: str) -> int:
        """Write to both; return the number of characters."""
        self.log.write(text)
        self._inside = not text.endswith("\n") if text else self._inside
        return self.stream.write(text) if self.shown else len(text)

    def end_line(self) -> None:
        """End the line of a bar that was broken off: what follows begins a new line."""
        if self._inside:
            self.write("\n")

    def flush(self) -> None:
        """Flush both."""
        self.log.flush()
        self.stream.flush()

    def __getattr__(self, name: str):
        return getattr(self.stream, name)


@contextmanager
def log_to(path: str | os.PathLike) -> Iterator[None]:
    """Copy what is printed, logged or raised to the file `path`, line by line.

    Where the environment has `LOGS_ALONE`, only errors are also printed.

    An `InputError` ends the process with its message alone, which says what to do; so does a fault of the
    machine, such as a full disk. Any other exception keeps its traceback.
    """
    print_anything()
    log = _Log(Path(path))
    stdout, stderr = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = _Tee(stdout, log), (shown := _Tee(stderr, log))
    handler = logging.StreamHandler(sys.stderr)
    logging.getLogger().addHandler(handler)
    try:
        yield
    except Exception as error:
        said = str(error) if isinstance(error, InputError) else one_line(error)
        shown.end_line()
        if said is None:
            log.write(traceback.format_exc())
            raise
        log.write(f"error: {said}\n")
        print(f"{_line_start(stderr)}error: {said}", file=stderr)
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        shown.end_line()
        log.write(traceback.format_exc())
        print(f"{_line_start(stderr)}interrupted", file=stderr)
        raise SystemExit(128 + signal.SIGINT) from None
    except BaseException:
        shown.end_line()
        log.write(traceback.format_exc())
        raise
    finally:
        logging.getLogger().removeHandler(handler)
        sys.stdout, sys.stderr = stdout, stderr
        log.close()


def _line_start(stream: TextIO) -> str:
    """Return what clears the terminal's last line, where the run may have drawn its progress."""
    return "\r\x1b[K" if LOGS_ALONE in os.environ and stream.isatty() else ""


def one_line(error: Exception) -> str | None:
    """Return a line about a fault of the machine; None for any other error, which keeps its traceback."""
    named = getattr(error, "filename", None)
    return cannot("used", named, error) if named else machine_fault(error)


def print_anything() -> None:
    """Let the terminal show what its character set lacks as escapes, and never fail for it."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, OSError, ValueError):  # replaced by another program's stream
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
