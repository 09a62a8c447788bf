"""A question of the study, and where its answer stands."""

from collections.abc import Mapping
from dataclasses import dataclass, field

#: why a study has no rows of a branch
NO_BRANCH = (
    "the study has no {branch}: with generation.guidance: null only cond runs, and capture.branches may "
    "leave a branch out"
)


@dataclass(frozen=True)
class Finding:
    """One question, which an analysis asks, and the rows of its table that answer it.

    Attributes
    ----------
    question : as a reader asks it; ``{contrast}`` and ``{contrasts}`` name the label.
    sentence : the answer where it is established, a format string over the row's columns.
    where : column → value or list of values that the rows have.
    figure : name of the figure to look at, in ``figures/``.
    table : input of rule ``findings`` that holds the rows; the analysis's own map unless said.
    tested : False for what is measured and not tested; the row of the largest estimate then answers.
    aside : what a reader must know with the answer, established or not.
    """

    question: str
    sentence: str
    where: Mapping[str, object] = field(default_factory=dict)
    figure: str = ""
    table: str = ""
    tested: bool = True
    aside: str = ""
