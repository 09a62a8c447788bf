"""The page of answers: every question, how sure, in which units, beside its controls; nothing unescaped."""

import re

import numpy as np
import pandas as pd
import pytest
from fakes import sheet
from markupsafe import Markup

from innerear.pages.figures import Figure
from innerear.pages.findings import COLUMNS
from innerear.pages.heading import Heading
from innerear.pages.index import LEVELS, index_page
from innerear.pages.number_line import number_line
from innerear.statistics.claims import ESTABLISHED, NOT_ESTABLISHED, NOT_TESTED, SENTENCES
from innerear.statistics.finding import UNITS

HEADING = Heading("study <1>", "nano", 8, 4, {"Answers": "index.html", "Map": "map.html"})
SAMPLES = sheet(2, 2, ("x", "y")).assign(text="music", recording="")
DESIGN = pd.DataFrame(
    {"property": ["contrast", "detectable effect f at p ≤ 0.05"], "value": ["emotion", "0.223"]}
)


def row(**given):
    blank = dict.fromkeys(COLUMNS, np.nan) | dict.fromkeys(("control", "figure", "formula", "meaning"), "")
    known = {
        "question": "Is it <there>?",
        "primary": "primary",
        "answer": "Yes, over all layers: 30 %. Mind <this>.",
        "established": ESTABLISHED,
        "effect": "30.0% of the variance",
        "estimate": 0.3,
        "ci_lo": 0.2,
        "ci_hi": 0.4,
        "chance": 0.0,
        "unit": "share",
        "p_page": 1 / 1001,
        "p_flip_page": 0.02,
        "k": 9,
        "n_templates": 10,
        "null": "labels permuted between prompts within templates; table 0a",
        "source": "map: branch = uncond",
    }
    return blank | known | given


def page(*rows, **figures):
    table = pd.DataFrame(list(rows), columns=list(COLUMNS))
    return index_page(table, HEADING, figures=figures, samples=SAMPLES, design=DESIGN)


def test_a_card_says_answer_effect_and_how_sure():
    text = page(row())
    for said in (
        '<p class="verdict">Yes.</p>',
        "Over all layers: 30 %. Mind &lt;this&gt;.",
        "20.0% to 40.0%",
        "9 of 10 sentences",
        ".001 against emotions permuted between prompts within sentences<br>.02 against sentences with",
        "would be 0.0%",
        "study &lt;1&gt;",
        "2 emotions in 2 sentences, 2 seeds each.",
        "from f = 0.22: emotions whose means spread 0.22 times as far as prompts of one.",
    ):
        assert said in text


@pytest.mark.parametrize("level", [ESTABLISHED, SENTENCES, NOT_ESTABLISHED, NOT_TESTED])
def test_how_sure_is_a_word_and_a_shape(level):
    """The explanation and the legend have each shape once more."""
    word, shape = LEVELS[level]
    assert len({shape for _, shape in LEVELS.values()}) == len(LEVELS)
    assert f'<span class="mark" aria-hidden="true">{shape}</span> <b>{word}</b>' in page(
        row(established=level)
    )


def test_a_control_stands_on_the_card_of_its_question_and_on_its_line():
    control = row(
        control="labels <shuffled>", primary="control", estimate=0.01, effect="1.0% of the variance"
    )
    text = page(row(), control | {"p_corrected": 0.6})
    assert text.count('class="card"') == 1
    assert "emotions &lt;shuffled&gt;: 1.0% of the variance (20.0% to 40.0%), p .6" in text
    assert text.count('class="control"') == 1


def test_primary_questions_come_first_and_the_others_are_lines():
    text = page(row(primary="exploratory", question="Second?"), row(question="First?"))
    assert text.index("First?") < text.index("Second?")
    assert (text.count('class="card"'), text.count('class="further"')) == (1, 1)


def test_a_figure_of_two_questions_is_in_the_page_once():
    drawn = Figure("map", Markup('<svg id="figure-map"></svg>'), "0 0 1 1", Markup("A caption."))
    text = page(row(figure="map.svg"), row(figure="map.svg", question="And?"), map=drawn)
    assert text.count('id="figure-map"') == 1
    assert text.count('href="#figure-map"') == 3  # two thumbnails, and the second question's figure


def test_a_page_without_any_number_is_one():
    text = page(row(estimate=np.nan, effect=np.nan, ci_lo=np.nan, ci_hi=np.nan, p_page=np.nan, k=np.nan))
    assert "<svg class=" not in text


def test_a_line_on_which_all_is_zero_is_drawn():
    """As where states are equal whatever the label: clips of one seed, composed without drawing."""
    drawn = number_line(UNITS["nats"], row(estimate=0.0, ci_lo=0.0, ci_hi=0.0, chance=0.0), "none")
    assert 'cx="14.0"' in drawn
    assert "nan" not in drawn


def test_the_line_has_estimate_interval_and_no_effect_in_their_places():
    drawn = number_line(UNITS["share"], row(estimate=0.5, ci_lo=0.25, ci_hi=1.0), "half")
    assert 'cx="160.0"' in drawn  # the middle of 0 to 1
    assert 'x="87.0" width="219.0"' in drawn
    assert 'class="chance" x1="14.0"' in drawn


def page_of(prompts, **given):
    """The page of a study of these prompts: id, text, template and recording."""
    samples = pd.DataFrame(prompts, columns=["prompt_id", "text", "template", "recording"])
    table = pd.DataFrame([row(**given)], columns=list(COLUMNS))
    return index_page(
        table, HEADING, figures={}, samples=samples.assign(emotion="calm", seed=0), design=DESIGN
    )


@pytest.mark.parametrize(
    ("templates", "said"),
    [(["t"], "in 1 sentence,"), ([""], "in 4 prompts,"), (["t", "u"], "in 2 sentences,")],
)
def test_what_was_asked_is_counted(templates, said):
    assert said in page_of([(f"p{i}", "t", templates[i % len(templates)], "") for i in range(4)])


@pytest.mark.parametrize(
    ("recordings", "said"),
    [
        (["1.wav", "2.wav"], "1 emotion in 2 tracks, 1 seed each; 2 of 2 clips are recorded."),
        (["1.wav", ""], "1 emotion in 2 prompts, 1 seed each; 1 of 2 clips are recorded."),
    ],
)
def test_tracks_without_templates_are_no_sentences(recordings, said):
    assert said in page_of([(name, "t", name, file) for name, file in zip("ab", recordings, strict=True)])


def test_templates_of_tracks_without_texts_are_no_sentences():
    text = page_of([(name, "", "one", f"{name}.wav") for name in "ab"])
    assert "1 emotion in 2 tracks, 1 seed each; 2 of 2 clips are recorded." in text
    assert "9 of 10 templates" in text
    assert "2 sentences" not in text and "sentences with their sign" not in text


def test_every_p_says_what_it_is_against():
    text = page(row(null="39 random directions of equal length, on the clips of 3 templates"))
    assert ".001 against 39 random directions of equal length, on the clips of 3 sentences" in text
    assert "labels permuted" not in text


def test_labels_and_templates_are_called_what_they_are_except_in_the_names_of_rows():
    said = {"answer": "Yes: labels differ. Templates of one label, unlabelled.", "meaning": "of a template"}
    text = page(row(**said, source="map: template = all"))
    assert "Emotions differ. Sentences of one emotion, unlabelled." in text
    assert "<dd>of a sentence</dd>" in text and "<dd>map: template = all</dd>" in text
    assert "<dd>of a template</dd>" in page_of([(name, "", "one", f"{name}.wav") for name in "ab"], **said)


def facts(**given):
    text = page(row(**given))
    return dict(re.findall("<dt>(.*?)</dt><dd>(.*?)</dd>", text.split('<dl class="method">')[-1]))


def test_numbers_have_a_minus_and_the_bound_says_of_what():
    found = facts(estimate=-0.3, ci_lo=-0.4, ci_hi=-0.00004, upper=0.5)
    assert found["95 % interval"] == "−0.4 to −4e-05"
    assert found["one-sided 95 % bound that holds in every row"] == "0.5"
    text = page(row(unit="cosine", estimate=-0.3, ci_lo=-0.4, ci_hi=-0.0001))
    assert "<dd>−0.400 to 0.000</dd>" in text and ">−0.300</text>" in text


def test_words_of_the_page_are_explained_in_it():
    for word in ("states", "cond, uncond, delta", "f", "× the variance", "sentences", "nats"):
        assert f"<dt>{word}</dt>" in page(row()), word
