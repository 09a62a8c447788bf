"""A question of the study, where its answer stands, and in which unit."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

#: why a study has no rows of a branch
NO_BRANCH = (
    "the study has no {branch}: with generation.guidance: null only cond runs, and capture.branches may "
    "leave a branch out"
)


@dataclass(frozen=True)
class Unit:
    """How a kind of effect is written, and how small it may be and still be of interest.

    Attributes
    ----------
    text : format string of ``{value}`` and, where chance is not 0, ``{chance}``.
    kind : key of ``statistics.smallest_effect``; "" for what has no smallest effect.
    """

    text: str
    kind: str


#: the plain units of the page of findings
UNITS: Mapping[str, Unit] = MappingProxyType(
    {
        "share": Unit("{value:.1%} of the variance", "share"),
        "distance": Unit("{value:.2f} × the variance", "distance"),
        "cosine": Unit("{value:+.3f} in cosine", "cosine"),
        "right": Unit("{value:.0%} named right, chance {chance:.0%}", "accuracy"),
        "order": Unit("{value:.0%} ordered right, chance {chance:.0%}", "accuracy"),
        "r": Unit("r = {value:.2f}", "correlation"),
        "nats": Unit("{value:.3f} nats a token", "nats"),
        "of dimensions": Unit("{value:+.1%} of the dimensions", "accuracy"),
        "seconds": Unit("{value:.2f} s", ""),
        "trustworthiness": Unit("trustworthiness {value:.2f}", ""),
        "CKA": Unit("CKA {value:.2f}", ""),
    }
)


@dataclass(frozen=True)
class Finding:
    """One question, which an analysis asks, and the rows of its table that answer it.

    Attributes
    ----------
    question : as a reader asks it; ``{contrast}``, ``{contrasts}``, ``{alike}`` and ``{unlike}`` name the label.
    sentence : the answer where it is established, a format string over the row's columns; ``{effect}`` is
        the estimate in its unit.
    where : column → value or list of values that the rows have.
    figure : name of the figure to look at, in ``figures/``.
    table : input of rule ``findings`` that holds the rows; the analysis's own map unless said.
    tested : False for what is measured and not tested; the row of the middle estimate then answers.
    aside : what a reader must know with the answer, established or not.
    key : of the question in `innerear.study.questions`, for those that may be primary.
    unit : key of `UNITS`.
    meaning : what the estimate measures, and its value without an effect.
    chance : the estimate without an effect: a number, a column of the table, or ``"labels"`` for 1 ÷ number
        of labels.
    choices : columns among whose values the answer chooses although each has a family of its own; the p of
        the chosen row is multiplied by their number (Bonferroni).
    signed : whether an effect may have either sign.
    """

    question: str
    sentence: str
    where: Mapping[str, object] = field(default_factory=dict)
    figure: str = ""
    table: str = ""
    tested: bool = True
    aside: str = ""
    key: str = ""
    unit: str = "share"
    meaning: str = ""
    chance: float | str = 0.0
    choices: tuple[str, ...] = ()
    signed: bool = False
