"""Copy what a job prints, logs or raises into its log file."""

import logging
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from innerear.errors import InputError


class _Tee:
    """A text stream that also writes to a log file."""

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

    An `InputError` ends the process with its message alone, which says what to do. Any other exception
    keeps its traceback.
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
