"""A question of the study, the rows of a table that answer it, and the unit of the answer."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf
from types import MappingProxyType

#: why a study has no rows of a branch
NO_BRANCH = (
    "the study has no {branch}: with generation.guidance: null only cond runs, and capture.branches may "
    "leave a branch out"
)


@dataclass(frozen=True)
class Unit:
    """The notation of a kind of effect, and its smallest effect of interest.

    Attributes
    ----------
    number : format string of ``{value}``.
    text : the same in its unit, of ``{number}`` and, where chance is not 0, ``{chance}``.
    kind : key of ``statistics.smallest_effect``; "" for what has no smallest effect.
    most : the largest value that there is.
    """

    number: str
    text: str
    kind: str = ""
    most: float = inf


#: the plain units of the page of findings
UNITS: Mapping[str, Unit] = MappingProxyType(
    {
        "share": Unit("{value:.1%}", "{number} of the variance", "share", 1),
        "left": Unit("{value:.1%}", "{number} of what the label leaves", "share", 1),
        "evidence": Unit("{value:.0%}", "{number} of a perfect probe's evidence", "share", 1),
        "distance": Unit("{value:.2f}", "{number} × the variance", "distance"),
        "cosine": Unit("{value:+.3f}", "{number} in cosine", "cosine", 2),
        "right": Unit("{value:.0%}", "{number} named right, chance {chance}", "accuracy", 1),
        "order": Unit("{value:.0%}", "{number} ordered right, chance {chance}", "accuracy", 1),
        "r": Unit("{value:.2f}", "r = {number}", "correlation", 1),
        "nats": Unit("{value:.3f}", "{number} nats", "nats"),
        "dimensions": Unit("{value:.0%}", "{number} of the dimensions, chance {chance}", "accuracy", 1),
        "more dimensions": Unit("{value:+.1%}", "{number} of the dimensions", "accuracy", 1),
        "dB": Unit("{value:+.1f}", "{number} dB", "dB"),
        "probability": Unit("{value:+.2f}", "{number}", "accuracy", 1),
        "fewer": Unit("{value:.0%}", "{number} of all clips", "accuracy", 1),
        "seconds": Unit("{value:.2f}", "{number} s"),
        "trustworthiness": Unit("{value:.2f}", "trustworthiness {number}", most=1),
        "similarity": Unit("{value:.2f}", "similarity {number}", most=1),
    }
)
#: smallest effects of interest: key of ``statistics.smallest_effect`` → what it is above chance
SMALLEST_EFFECTS: Mapping[str, float] = MappingProxyType(
    {
        # Cohen's small f = .1: labels explain .01 of the variance, and clips of one label are .01 more alike
        # in cosine. The squared distance of two of four labels is 8/3 f²; at one step less is known.
        "share": 0.01,
        "distance": 0.05,
        "cosine": 0.01,
        # five in a hundred more than chance; Cohen's small d = .2 orders 56 % of pairs right
        "accuracy": 0.05,
        # Cohen's small r
        "correlation": 0.1,
        # a perplexity 1 % higher
        "nats": 0.01,
        # about the least difference of level that is noticed in music
        "dB": 1.0,
    }
)
#: formulas of estimates that several questions ask for
OMEGA_SQUARED = (
    "ω² = d (F − 1) ÷ (d (F − 1) + P), of the F of prompt means without their template's; "
    "d: labels − 1, P: prompts"
)
HELD_OUT_R2 = (
    "1 − Σ (y − ŷ)² ÷ Σ (y − ȳ)², over held-out templates; ŷ by ridge regression, ȳ the training mean"
)
SHARE_LEFT = (
    "(E_label − E_both) ÷ E_label, of squared errors on held-out templates, E_label at most the mean's"
)


@dataclass(frozen=True)
class Finding:
    """One question, which an analysis asks, and the rows of its table that answer it.

    Attributes
    ----------
    question : as a reader asks it, with the words of `innerear.study.questions.words_for`.
    sentence : the answer where it is established, a format string over the row's columns; ``{effect}`` is
        the estimate in its unit.
    where : column → value or list of values that the rows have.
    figure : name of the figure to look at, in ``figures/``.
    table : input of rule ``findings`` that holds the rows; the analysis's own map unless said.
    tested : False for what is measured and not tested; the row of the middle estimate then answers.
    aside : what a reader must know with the answer, established or not.
    unshown : what a reader must know where it is not established.
    key : of the question in `innerear.study.questions`, for those that may be primary.
    unit : key of `UNITS`.
    meaning : what the estimate measures, and its value without an effect.
    formula : of the estimate, as the page shows it under the answer.
    chance : the estimate without an effect: a number, a column of the table, or ``"labels"`` for 1 ÷ number
        of labels.
    choices : columns; the answer chooses among their values, although each has a family of its own; the p of
        the chosen row is multiplied by their number (Bonferroni).
    signed : whether an effect may have either sign.
    absent : why a study may lack these rows, or the statistic altogether; "" where that is an error.
    """

    question: str
    sentence: str
    where: Mapping[str, object] = field(default_factory=dict)
    figure: str = ""
    table: str = ""
    tested: bool = True
    aside: str = ""
    unshown: str = ""
    key: str = ""
    unit: str = "share"
    meaning: str = ""
    formula: str = ""
    chance: float | str = 0.0
    choices: tuple[str, ...] = ()
    signed: bool = False
    absent: str = ""
