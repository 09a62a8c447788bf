"""Settings of any kind: what is meant is read; what cannot be meant is refused at once, with one message."""

import datetime
import json
import re
import time
import tracemalloc
from copy import deepcopy

import pytest
import yaml
from snakemake.utils import update_config

from innerear.errors import InputError
from innerear.study.architectures import CODEC, LANGUAGE_MODEL
from innerear.study.config_files import check_files
from innerear.study.study import Study

from .conftest import DEFAULT, ROOT, SCHEMA, checkpoint

TEMPLATES, EMOTIONS = DEFAULT["prompts"]["templates"], DEFAULT["prompts"]["emotions"]


def study_with(key, value):
    """Return the default study with one other setting."""
    settings = deepcopy(DEFAULT)
    *sections, name = key.split(".") if isinstance(key, str) else [key]
    place = settings
    for section in sections:
        place = place.setdefault(section, {})
    place[name] = value
    return Study.from_settings(settings, SCHEMA)


def schemas(part=SCHEMA, key=""):
    """Yield each part of the schema that a value has, with its name."""
    yield key, part
    for name, below in part.get("properties", {}).items():
        yield from schemas(below, f"{key}.{name}")
    for below in [*part.get("anyOf", []), part.get("items"), part.get("additionalProperties")]:
        if isinstance(below, dict):
            yield from schemas(below, f"{key}.")


def test_every_number_and_every_list_of_the_schema_has_an_end():
    for key, part in schemas():
        kinds = part.get("type", [])
        if {"integer", "number"} & set([kinds] if isinstance(kinds, str) else kinds) and "labels" not in key:
            assert {"maximum", "exclusiveMaximum"} & set(part), key
            assert {"minimum", "exclusiveMinimum"} & set(part), key
        if kinds == "array" and "enum" not in part["items"]:
            assert "maxItems" in part, key


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("generation.top_k", 250.0),
        ("seeds", [1.0, 2]),
        ("capture.layers", [0.0, 5]),
        ("statistics.permutations", 99.0),
        ("gram.bins", 5.0),
        ("captures", {"more": {"layers": [1.0]}}),
    ],
)
def test_whole_numbers_are_integers_everywhere(key, value):
    settings = study_with(key, value).settings
    for name in key.split("."):
        settings = settings[name]
    written = json.dumps(settings)
    assert not re.search(r"\d\.\d", written)
    assert re.search(r"\d", written)


NUMBERS = ("generation.duration", "generation.top_k", "gram.max_gib", "statistics.seed", "gram.bins")


@pytest.mark.parametrize("key", NUMBERS)
@pytest.mark.parametrize(
    "value", [True, "1", "1e1", None, [1], {}, 10**30, -1, float("nan"), float("inf"), -0.5, 1e308]
)
def test_nothing_else_is_a_number(key, value):
    with pytest.raises(InputError, match=key.replace(".", r"\.")) as refusal:
        study_with(key, value)
    assert len(str(refusal.value)) < 600


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("seeds", [True], r"seeds\.0: True is not allowed"),
        ("statistics.permutations", "1e3", "give a whole number; YAML takes 1e3 for a text, write 1000"),
        ("statistics.permutations", "0o100", "YAML takes 0o100 for a text, write 64"),
        ("features.lr", "1e-4", r"YAML takes 1e-4 for a text, write 0\.0001"),
        ("features.lr", "1E-12", r"YAML takes 1E-12 for a text, write 1\.0e-12"),
        ("statistics.permutations", "1000", "give a whole number, without quotes"),
        ("statistics.smallest_effect.db", 1, r"unknown key \(did you mean 'dB'\?\)"),
        ("statistics.controls", ["SHUFFLED"], r"did you mean 'shuffled'\?"),
        ("contrast", "emotoin", r"the label 'emotoin', which it does not have \(did you mean 'emotion'\?\);"),
        ("contrast", "Valence", r"which it does not have \(did you mean 'valence'\?\);"),
        ("seeds", ["1"], r"seeds\.0: '1' is not allowed; give a whole number, without quotes"),
        ("generation", {"batch": "3"}, "batch: '3' is not allowed; give a whole number, without quotes"),
        ("generation", {"batch": "pairs"}, "choose one of 'auto', 'pair', 'prompt'"),
        ("seeds", [1.5], r"seeds\.0: 1\.5"),
        ("seeds", [1.0, 1], "entries 1 and 2 are both 1"),
        ("seeds", [float("inf")], r"seeds\.0: inf is not a finite number"),
        ("seeds", 3, "seeds: 3 is not allowed; give keys with values or a list"),
        ("seeds", [2**32], r"seeds\.0: 4294967296 is not allowed; the most is"),
        ("model", None, "model: null is not allowed; give keys with values"),
        ("generation", [1], "generation: .1. is not allowed; give keys with values"),
        ("prompts", "sheet.tsv", "prompts: 'sheet.tsv' is not allowed"),
        ("capture", {"layers": {"0": 1}}, "give a list or a whole number or a text"),
        (
            "capture",
            {"layers": ""},
            r"capture\.layers: '' is not allowed; the least number of characters is 1",
        ),
        ("capture", {"layers": [1, "2"]}, r"capture\.layers\.1: '2' is not allowed; give a whole number"),
        (
            "model",
            {"name": "x", "architecture": {"n_layers": "4", "d_model": 8}},
            r"n_layers: '4' is not allowed",
        ),
        ("model", {"name": "x", "architecture": {"n_layers": 10**9, "d_model": 8}}, "the most is 1000"),
        (
            "model",
            {"name": "x", "architecture": "musicgen"},
            "architecture: 'musicgen' is not allowed; choose one",
        ),
        ("model", {"name": "x", "architecture": 3}, r"model\.architecture: 3 is not allowed"),
        ("model", {"name": "gone", "architecture": "nano"}, "'gone' does not exist"),
        ("model", {"name": "a\0b", "architecture": "nano"}, r"holds the character U\+0000"),
        ("model", {"name": "x" * 5000, "architecture": "nano"}, "does not exist"),
        ("model", {"label": "a{b}"}, r"model\.label"),
        ("model", {"label": "a\n"}, r"model\.label"),
        ("study", "abc\n", "study: .* it must match"),
        ("study", "x" * 101, "study: .*; the most characters are 100"),
        ("study", "nul", "study: the id 'nul' cannot name a folder"),
        ("study", "-n", "study: '-n'"),
        ("study", "a{b}", "study: 'a{b}'"),
        ("study", datetime.date(2020, 1, 1), r"study: datetime.* is no plain value"),
        ("study", 7, "study: 7 is not allowed; give a text, in quotes"),
        ("captures", {"con": {}}, "captures: the id 'con' cannot name a folder"),
        ("captures", {"Mlp": {}, "mlp": {}}, "captures: 'Mlp' and 'mlp' share the id"),
        ("captures", {"a/b": {}}, "captures: 'a/b' is not allowed"),
        ("contrast", "valence\n", "contrast: .* it must match"),
        ("contrast", "content_sha256", "contrast: 'content_sha256' is not a label"),
        (1, 2, "1: unknown key"),
        (True, 2, "True: unknown key, .*YAML takes numbers, dates and words such as yes"),
        (None, 2, "None: unknown key"),
        ("generation", {True: 2}, r"generation\.True: unknown key"),
        ("a\ud800", 2, r"holds the character U\+D800"),
        ("prompts", {"sheet": "a\0.tsv", "templates": [], "emotions": []}, r"holds the character U\+0000"),
    ],
)
def test_each_kind_of_bad_setting_is_named(key, value, message):
    with pytest.raises(InputError, match=message):
        study_with(key, value)


@pytest.mark.parametrize(
    "text", ["a {emotion} \0 song", "a {emotion} \ud800 song", "a {emotion}\x1b[31m song"]
)
@pytest.mark.parametrize("where", ["text", "neutral", "paraphrase"])
def test_a_text_with_broken_characters_is_refused(where, text):
    with pytest.raises(InputError, match=rf"prompts\.templates\.0\.{where}: .* holds the character U\+"):
        study_with("prompts.templates", [{**TEMPLATES[0], where: text}, *TEMPLATES[1:]])


@pytest.mark.parametrize("key", NUMBERS)
def test_a_number_of_thousands_of_digits_can_be_named(key):
    with pytest.raises(InputError, match="a number of more than 300 digits"):
        study_with(key, 10**5000)


def test_a_number_in_any_list_is_finite():
    with pytest.raises(InputError, match=r"prompts\.emotions\.0\.valence: nan is not a finite number"):
        study_with("prompts.emotions", [{"id": "happy", "valence": float("nan")}])


def test_a_contrast_needs_a_rating_of_every_prompt_before_any_work():
    with pytest.raises(InputError, match="contrast: valence is asked for, but prompt 'piano-sad' has none"):
        Study.from_settings(
            {
                **DEFAULT,
                "contrast": "valence",
                "prompts": {**DEFAULT["prompts"], "emotions": [{"id": "happy", "valence": 1}, {"id": "sad"}]},
            },
            SCHEMA,
        )


def repeated(times):
    value = [1] * 10
    for _ in range(times):
        value = [value] * 10
    return value


MANY = [{"id": f"t{i}", "text": f"{{emotion}} {i}"} for i in range(2000)]
HUGE = {
    "a range of layers": ("capture.layers", "0-30000"),
    "a range of layers without end": ("capture.layers", "0-" + "9" * 1000),
    "layers": ("capture.layers", list(range(10**6))),
    "seeds": ("seeds", range(10**7)),
    "aliases in aliases": ("seeds", repeated(8)),
    "a duration": ("generation.duration", 1e300),
    "windows": ("generation", {"duration": 600, "stride": 1e-3}),
    "permutations": ("statistics.permutations", 10**12),
    "bins": ("gram.bins", 10**9),
    "templates": ("prompts.templates", MANY * 100),
    "templates × emotions": (
        "prompts",
        {"templates": MANY, "emotions": [{"id": f"e{i}"} for i in range(2000)]},
    ),
    "a text": ("prompts.templates", [{"id": "a", "text": "{emotion}" * 10**6}]),
    "unknown keys": ("generation", {f"k{i}": i for i in range(10**5)}),
    "a long unknown key": ("generation", {"k" * 10**6: 1}),
    "captures": ("captures", {f"c{i}": {} for i in range(10**4)}),
    "samples": ("prompts", {"templates": MANY[:200], "emotions": [{"id": f"e{i}"} for i in range(100)]}),
}


@pytest.mark.parametrize("kind", HUGE)
def test_what_is_too_large_is_refused_at_once(kind):
    key, value = HUGE[kind]
    *section, name = key.split(".")
    settings = DEFAULT | {"seeds": list(range(500))} if kind == "samples" else dict(DEFAULT)
    within = settings
    if section:
        within = settings[section[0]] = dict(settings.get(section[0], {}))
    within[name] = list(value) if isinstance(value, range) else value
    started = time.process_time()
    refusal = refused(settings)
    assert time.process_time() - started < 1
    assert len(refusal) < 10_000
    tracemalloc.start()
    try:
        assert refused(settings) == refusal
        assert tracemalloc.get_traced_memory()[1] < 200 * 2**20
    finally:
        tracemalloc.stop()


def refused(settings):
    with pytest.raises(InputError) as refusal:
        Study.from_settings(settings, SCHEMA)
    return str(refusal.value)


def test_a_list_that_holds_itself_is_refused():
    own = []
    own.append(own)
    with pytest.raises(InputError, match="is an alias of YAML used too often"):
        study_with("seeds", own)


@pytest.mark.parametrize(
    ("name", "files", "backend", "message"),
    [
        ("empty", (), "audiocraft", f"has no {LANGUAGE_MODEL} and no {CODEC}"),
        ("half", (LANGUAGE_MODEL,), "audiocraft", f"has no {CODEC}"),
        ("half", (LANGUAGE_MODEL,), "transformers", f"has no {CODEC}"),
        ("other", ("config.json",), "audiocraft", f"has no {LANGUAGE_MODEL}"),
        ("empty", (), "transformers", r"has no config\.json"),
        (
            "a{b}",
            (LANGUAGE_MODEL, CODEC),
            "audiocraft",
            "has one of {}<>, which Snakemake takes for a pattern",
        ),
        ("a\nb", (LANGUAGE_MODEL, CODEC), "audiocraft", "a character that cannot be printed"),
    ],
)
def test_a_directory_without_a_checkpoint_is_refused_before_any_work(tmp_path, name, files, backend, message):
    model = {"name": checkpoint(tmp_path / name, files), "architecture": "nano", "backend": backend}
    with pytest.raises(InputError, match=message):
        study_with("model", model)


def test_a_checkpoint_is_a_directory(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="is no directory"):
        study_with("model", {"name": str(tmp_path / "file"), "architecture": "nano"})


def test_a_permutation_table_has_a_size():
    settings = deepcopy(DEFAULT) | {"seeds": [0, 1, 2], "generation": {"duration": 0.5}}
    settings["counterfactual"] = {"enabled": False}
    settings["gram"] = {"max_gib": 0.03, "bins": 2}
    Study.from_settings(settings, SCHEMA)
    settings["statistics"] = {"permutations": 100_000}
    with pytest.raises(InputError, match=r"100,000 permutations × 120 samples take .*gram\.max_gib = 0\.03"):
        Study.from_settings(settings, SCHEMA)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("study: a\nseeds: [1]\nseeds: [2]\n", "line 3: the key 'seeds' is given twice"),
        ("gram:\n  bins: 3\n  bins: 4\n", "line 3: the key 'bins' is given twice"),
        ("seeds: [1, 010]\n", "line 1: YAML takes 010 for another number"),
        ("generation: {duration: 1:30}\n", "YAML takes 1:30 for another number"),
        ('{"study": "a", "study": "b"}', "the key 'study' is given twice"),
    ],
)
def test_what_yaml_reads_in_silence_as_something_else_is_refused(tmp_path, text, message):
    path = tmp_path / "config.yaml"
    path.write_text(text, "utf-8")
    with pytest.raises(InputError, match=message):
        check_files([path])


@pytest.mark.parametrize(
    "text",
    [
        "a: &x {b: 1}\nc: {<<: *x, d: 0}\ne: {b: 2}\n",
        "seeds: [0, 10, 1.5, 0.5, -1]\ntime: '1:30'\nname: \"010\"\n",
        '{"a": {"b": 1}, "c": {"b": 1}}',
        "a: &a [*a]\n",
        "",
    ],
)
def test_anchors_and_plain_numbers_are_fine(tmp_path, text):
    path = tmp_path / "config.yaml"
    path.write_text(text, "utf-8")
    check_files([path])


@pytest.mark.parametrize("path", [ROOT / "config.yaml", *sorted((ROOT / "studies").glob("*.yaml"))])
def test_the_studies_of_this_repository_are_read_as_they_are_written(path):
    check_files([path])
    settings = deepcopy(DEFAULT)
    update_config(settings, yaml.safe_load(path.read_text("utf-8")))  # as Snakemake joins them
    Study.from_settings(settings, SCHEMA)


def turned_round(value):
    """Return equal settings whose keys stand in the other order, and whole numbers with a point."""
    if isinstance(value, dict):
        return {name: turned_round(value[name]) for name in reversed(value)}
    if isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    return [*map(turned_round, value)] if isinstance(value, list) else value


def test_equal_settings_are_one_study_however_they_are_written():
    """Snakemake compares settings as texts."""
    labels = {"labels": {"family": "a", "kind": "b"}}
    more = {
        "generation": {"duration": 2, "guidance": 2.0, "temperature": 0.9},
        "captures": {"one": {"sites": ["mlp"], "layers": [1]}, "another": {"layers": [2], "sites": ["mlp"]}},
        "prompts": {**DEFAULT["prompts"], "emotions": [{**one, **labels} for one in EMOTIONS]},
        "seeds": {"each_template": 2},
        "interventions": {"enabled": True, "doses": [0.5, 1], "draws": 19},
    }
    settings = deepcopy(DEFAULT) | more
    one, other = (Study.from_settings(each, SCHEMA) for each in (settings, turned_round(settings)))
    assert list(settings) != list(turned_round(settings))
    assert repr(one) == repr(other)
