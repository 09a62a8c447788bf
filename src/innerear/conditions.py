"""Prompts × seeds → samples: ids, texts and the order in which everything is listed.

Light on purpose: the Snakefile imports this each time it is parsed.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from innerear.errors import InputError

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


@dataclass(frozen=True)
class Prompt:
    """A text with an id, and the design factors that it carries."""

    id: str
    text: str
    template: str
    emotion: str
    valence: float | None = None
    arousal: float | None = None


@dataclass(frozen=True)
class Sample:
    """A (prompt, seed) pair."""

    prompt: Prompt
    seed: int

    @property
    def id(self) -> str:
        """The sample's name in every table: ``prompt/seed-7``."""
        return f"{self.prompt.id}/seed-{self.seed}"
