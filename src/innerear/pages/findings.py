"""The study's answers on one page: question, answer, estimate with interval, corrected p, figure.

To add a row, add a `Finding` to `FINDINGS`: a question, the table that answers it, which of its rows, a
sentence, and a figure. If the table is new, name it among the inputs of rule ``findings`` too. A table
needs the columns ``estimate, p_corrected, null`` and, where there are any, ``ci_lo, ci_hi``; the sentence
may name every column of the row in braces, as in ``"layer {layer} knows {estimate:.2f}"``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape

import numpy as np
import pandas as pd

ALPHA = 0.05


@dataclass(frozen=True)
class Finding:
    """One question, and where its answer stands.

    Attributes
    ----------
    question : as a reader asks it.
    table : name of the table, as the rule's inputs have it.
    sentence : the answer where it is established, a format string over the row's columns.
    where : column -> value or list of values that the rows have.
    figure : file name of the figure to look at, in ``figures/``.
    tested : False for what is measured and not tested; the row of the largest estimate is then told.
    aside : what a reader must know beside the answer, established or not.
    """

    question: str
    table: str
    sentence: str
    where: Mapping[str, object] = field(default_factory=dict)
    figure: str = ""
    tested: bool = True
    aside: str = ""


_ALIKE = ["emotion effect, other seed", "rating correlation, other seed"]
_WHOLE = {"measure": "centred", "window": "whole", "statistic": _ALIKE}
FINDINGS = (
    Finding(
        "Does the sound itself differ between {contrasts}?",
        "manipulation",
        "Yes, most clearly its {feature}.",
        {"statistic": "ANOVA F"},
        "manipulation.svg",
        aside="p is corrected over features by BH. Where the sound does not differ, all else is of the text.",
    ),
    Finding(
        "Are {contrasts} told apart on held-out templates by the branch that hears only the music?",
        "discriminability",
        "Yes, most surely in layer {layer}, over the whole clip.",
        {"statistic": "cross-validated distance", "over": "windows", "window": "whole", "branch": "uncond"},
        "discriminability_maps.svg",
    ),
    Finding(
        "Does the layer that is best on some templates tell {contrasts} apart on another?",
        "best_layers",
        "Yes, in uncond: layers {chosen}, chosen without the template that they are measured on.",
        {"statistic": "held-out distance of the chosen layer", "branch": "uncond"},
        "layer_ranks.svg",
    ),
    Finding(
        "Does {contrast} emerge as the music goes on, in uncond?",
        "emergence",
        "Yes: in layer {layer} held-out evidence is higher after the onset than before it.",
        {"statistic": "held-out rise", "branch": "uncond"},
        "emergence.svg",
    ),
    Finding(
        "Does the difference between {contrasts} itself differ between the first and the last tenth?",
        "emergence",
        "Yes: in layer {layer}, {branch}.",
        {"statistic": "label × window interaction"},
        "early_late.svg",
    ),
    Finding(
        "Do the states go with the sound from moment to moment, beyond what clips share?",
        "lags",
        "Yes: most surely {feature} in layer {layer}, {branch}, at a lag of {lag} frames.",
        {},
        "lags.svg",
        aside="Positive lags are sound yet to come (planning), negative ones sound that was (history).",
    ),
    Finding(
        "Are states alike where {contrasts} are, in the branch that hears only the music?",
        "similarity",
        "Yes, most clearly in layer {layer}: the more alike the {contrasts}, the closer the clips.",
        _WHOLE | {"branch": "uncond"},
        "emotion_effect.svg",
    ),
    Finding(
        "Are states alike where {contrasts} are, in the text's direct effect?",
        "similarity",
        "Yes, most clearly in layer {layer} of cond − uncond.",
        _WHOLE | {"branch": "delta"},
        "emotion_effect.svg",
    ),
    Finding(
        "Do the dimensions of the states vary together?",
        "components",
        "Yes: in layer {layer} of uncond, {n_components} components go beyond unrelated dimensions.",
        {"branch": "uncond", "component": 1},
        "scree.svg",
        aside="p is corrected over the components of one layer.",
    ),
    Finding(
        "Do more single dimensions differ between {contrasts} than chance allows, in uncond?",
        "dimensions",
        "Yes: a share of {estimate:.2f} in layer {layer} passes F's 5 % point.",
        {"branch": "uncond", "statistic": "share past F's 5 % point"},
        "dimensions.svg",
    ),
    Finding(
        "Does the text that is read move the states, the music so far being the same?",
        "decomposition",
        "Yes: in layer {layer} a share of {estimate:.3f} of the variance over clips and texts, whole clip.",
        {"listener": "model", "statistic": "text", "window": "whole"},
        "text_or_history.svg",
        aside="Within a template texts differ in the emotion's word alone.",
    ),
    Finding(
        "Does the music so far move the states, the text being the same?",
        "decomposition",
        "Yes: in layer {layer} the clip's own emotion makes a share of {estimate:.3f} of the variance.",
        {"listener": "model", "statistic": "history", "window": "whole"},
        "text_or_history.svg",
    ),
    Finding(
        "Which holds more of the emotion, the text or the music so far?",
        "decomposition",
        "Where history leads most, in layer {layer}, its share is {estimate:+.3f} larger than the text's.",
        {"listener": "model", "statistic": "history − text", "window": "whole"},
        "text_or_history.svg",
        tested=False,
    ),
    Finding(
        "When along the clip does history overtake text?",
        "decomposition",
        "Latest in layer {layer}: {reading}.",
        {"listener": "model", "statistic": "history overtakes text", "unit": "s"},
        "text_maps.svg",
        tested=False,
    ),
    Finding(
        "Do text and history write one code, so that probes of the one read the other?",
        "decomposition",
        "Yes: {statistic} in layer {layer} names {estimate:.0%} of emotions on templates held out.",
        {
            "listener": "model",
            "statistic": ["probe history → text", "probe text → history"],
            "window": "whole",
        },
        "text_probes.svg",
        aside="The null renames the emotions of the tested kind, alike in all templates.",
    ),
    Finding(
        "Does the model hear that a text does not go with the music?",
        "likelihood",
        "Yes: under another emotion's text a token costs {estimate:.3f} nats more, {distribution}.",
        {"listener": "model", "statistic": "mismatch", "codebook": "all", "window": "whole"},
        "likelihood_matrix.svg",
    ),
    Finding(
        "Is the model's own basis special, or would any rotation do?",
        "dimensions",
        "It is special in layer {layer}, {branch}: the share differs by {estimate:+.2f} from rotations.",
        {"statistic": "share past F's 5 % point, own basis − random rotations"},
        "dimensions.svg",
        aside="Of these prompts: p is against random bases, not against other prompts.",
    ),
    Finding(
        "Do the states know what the clip sounds like, on templates held out?",
        "correlation",
        "Yes: best its {feature}, from layer {layer} in {branch}.",
        {"statistic": "held-out R²", "window": "whole"},
        "acoustic_r2.svg",
        aside="The {contrast} may be what both share.",
    ),
    Finding(
        "Do the states know more of the sound than the {contrast} tells?",
        "correlation",
        "Yes: most of its {feature}, from layer {layer} in {branch}.",
        {"statistic": "R² beyond the label", "window": "whole"},
        "acoustic_r2_beyond.svg",
    ),
    Finding(
        "How alike do two layers, or one and itself, arrange the prompts with other seeds?",
        "alignment",
        "At best layers {layer} and {layer_2} of uncond: CKA {estimate:.2f}, noise ceiling {ceiling:.2f}.",
        {"branch": "uncond", "statistic": "layer × layer", "samples": "across seed halves"},
        "alignment_layers.svg",
        tested=False,
    ),
    Finding(
        "Are graded ratings of valence or arousal in the states?",
        "affect",
        "Yes: {target} from layer {layer} in {branch}.",
        {"statistic": "held-out R²"},
        "affect.svg",
    ),
    Finding(
        "Does a direction of valence or arousal carry over to other emotions?",
        "affect",
        "Yes: {target} in layer {layer}, {branch} ({pairing}).",
        {"statistic": "cross-condition AUC"},
        "affect.svg",
    ),
)

COLUMNS = (
    *("question", "answer", "established", "estimate", "ci_lo", "ci_hi", "p_corrected", "min_p"),
    *("n_prompts", "null", "figure", "source"),
)


def findings(
    tables: Mapping[str, pd.DataFrame], entries: Sequence[Finding] = FINDINGS, *, contrast: str = "emotion"
) -> pd.DataFrame:
    """Answer each question from the row with the smallest corrected p, or say why it is not established.

    Parameters
    ----------
    tables : name -> table, as each entry asks for.
    entries : the questions.
    contrast : the label that the study asks about.

    Returns
    -------
    One row per question, in order, with the columns `COLUMNS`. `established` is ``"yes"`` where corrected
    p < .05, ``"no"`` where it is not or no test was possible, ``"not tested"`` for plain measurements.
    """
    rated = contrast in ("valence", "arousal")
    plural = "emotions" if contrast == "emotion" else f"{'ratings' if rated else 'values'} of {contrast}"
    words = {"contrast": contrast, "contrasts": plural}
    rows = [_answer(entry, tables[entry.table], words) for entry in entries]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _answer(entry: Finding, table: pd.DataFrame, words: Mapping[str, str]) -> dict[str, object]:
    rows = table
    for column, value in entry.where.items():
        values = value if isinstance(value, list) else [value]
        rows = rows.iloc[np.flatnonzero(rows[column].isin(values).to_numpy())]
    source = f"{entry.table}: {', '.join(f'{name} = {value}' for name, value in entry.where.items())}"
    aside = entry.aside.format(**words)
    common = {
        "question": entry.question.format(**words),
        "figure": entry.figure,
        "source": source.rstrip(": "),
    }
    p = rows["p_corrected"].to_numpy(float)
    estimate = rows["estimate"].to_numpy(float)
    usable = np.isfinite(p if entry.tested else estimate)
    if not usable.any():
        why = [str(null).removeprefix("none: ") for null in rows["null"]] or ["the table has no such rows"]
        return common | _told("no", f"Not established: no test is possible ({why[0]}).", aside)
    # The smallest p; of equal ones the largest estimate.
    order = np.lexsort((-estimate, p)) if entry.tested else np.argsort(-estimate)
    row = rows.iloc[int(next(i for i in order if usable[i]))].to_dict()
    measured = {name: row.get(name, np.nan) for name in COLUMNS if name in row and name not in common}
    if not entry.tested:
        return common | measured | _told("not tested", entry.sentence.format(**row | words), aside)
    if float(row["p_corrected"]) < ALPHA:
        return common | measured | _told("yes", entry.sentence.format(**row | words), aside)
    least = f", and no p can be below {row['min_p']:.2g}" if row.get("min_p", 0) >= ALPHA else ""
    answer = f"Not established: the smallest corrected p is {row['p_corrected']:.2g}{least}."
    return common | measured | _told("no", answer, aside)


def _told(established: str, answer: str, aside: str) -> dict[str, object]:
    return {"established": established, "answer": f"{answer} {aside}".strip()}


def findings_page(table: pd.DataFrame, *, title: str, model: str) -> str:
    """Return the findings as one HTML page without scripts.

    Parameters
    ----------
    table : from `findings`.
    title, model : for the heading.
    """
    rows = "".join(_html_row(row) for row in table.to_dict("records"))
    return _PAGE.format(title=escape(title), model=escape(model), rows=rows)


def _html_row(row: Mapping) -> str:
    interval = "" if np.isnan(row["ci_lo"]) else f"<br><small>{row['ci_lo']:.2f} … {row['ci_hi']:.2f}</small>"
    estimate = "–" if np.isnan(row["estimate"]) else f"{row['estimate']:.2f}{interval}"
    p = "–" if np.isnan(row["p_corrected"]) else f"{row['p_corrected']:.2g}"
    kind = escape(str(row["established"]).replace(" ", "-"))
    return (
        f'<tr class="{kind}"><td>{escape(row["question"])}</td><td>{escape(row["answer"])}</td>'
        f"<td>{estimate}</td><td>{p}</td><td>{escape(row['figure'])}</td>"
        f"<td><small>{escape(row['source'])}</small></td></tr>"
    )


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{title}: findings</title>
<style>
:root {{ color-scheme: light dark }}
body {{ margin: 1rem auto; max-width: 76rem; padding: 0 1rem; font: 15px/1.4 system-ui, sans-serif }}
table {{ border-collapse: collapse; width: 100% }}
th, td {{ text-align: left; vertical-align: top; padding: .45rem .6rem; border-bottom: 1px solid #8886 }}
tr.yes td:nth-child(2) {{ font-weight: 600 }}
tr.no td:nth-child(2) {{ opacity: .75 }}
td:nth-child(3), td:nth-child(4) {{ font-variant-numeric: tabular-nums; white-space: nowrap }}
small {{ opacity: .75 }}
</style>
</head>
<body>
<h1>What {title} found in {model}</h1>
<p>Each answer is the row of its table with the smallest corrected p, with its 95 % interval where there is
one. <b>Not established</b> means that the corrected p is .05 or more, or that no test is possible: not that
there is nothing.</p>
<table>
<tr><th>question</th><th>answer</th><th>estimate</th><th>corrected p</th>
<th>figure</th><th>from table</th></tr>
{rows}
</table>
</body>
</html>
"""
