"""Code blocks of a page, and a copy of the working tree to try them in.

How a block is tried stands in a comment above it:

- nothing: ``bash`` and ``python`` are run; a ``yaml`` block that begins with ``# name`` goes into that file;
- ``<!-- make -->``: each command is a target of the Makefile; not run here, since one of them runs this test;
- ``<!-- dry run -->``: Snakemake gets ``--dry-run``, for what needs a GPU, a cluster, a network or too long;
- ``<!-- needs PATH -->``: run after the workflow has made PATH.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_BLOCK = re.compile(r"^(?:<!-- (?P<how>[^\n]*) -->\n)?```(?P<language>\w+)\n(?P<text>.*?)^```$", re.M | re.S)
_SNAKEMAKE = '#!/bin/sh\nexec "{python}" -m snakemake ${{DRY_RUN:+--dry-run --quiet all}} "$@"\n'


@dataclass(frozen=True)
class Block:
    """A code block, the comment above it, and the paragraph before both."""

    language: str
    text: str
    how: str
    before: str


def blocks_of(page: Path) -> Iterator[Block]:
    """Yield the code blocks of a Markdown page."""
    text = page.read_text()
    for found in _BLOCK.finditer(text):
        before = text[: found.start()].rstrip().rpartition("\n\n")[2]
        yield Block(found["language"], found["text"], found["how"] or "", before)


@dataclass(frozen=True)
class Tree:
    """A copy of the working tree, with a ``.venv/bin`` that leads to this environment."""

    folder: Path

    def run(self, *command: str, **variables: str) -> subprocess.CompletedProcess:
        """Run a command in the copy; it must succeed."""
        environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": "src"} | variables
        done = subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
        return done

    def bash(self, script: str, **variables: str) -> subprocess.CompletedProcess:
        """Run a block of shell commands; each must succeed."""
        return self.run("bash", "-euo", "pipefail", "-c", script, **variables)

    def make(self, *files: str, **variables: str) -> subprocess.CompletedProcess:
        """Let the workflow make files."""
        return self.run(".venv/bin/snakemake", "--cores", "2", *files, **variables)


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> Tree:
    """The working tree as git sees it, copied."""
    folder = tmp_path_factory.mktemp("tree")
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in listed.split("\0"):
        if name and (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name, follow_symlinks=False)
    binaries = folder / ".venv/bin"
    binaries.mkdir(parents=True)
    (binaries / "python").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    (binaries / "snakemake").write_text(_SNAKEMAKE.format(python=sys.executable))
    for binary in binaries.iterdir():
        binary.chmod(0o755)
    return Tree(folder)
