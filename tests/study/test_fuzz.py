"""Invented settings and sheets: each is refused in one message, or read as it is written, and soon."""

import codecs
import json
import re
import time
import unicodedata
from copy import deepcopy

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from innerear.errors import InputError
from innerear.study.config import documented_keys
from innerear.study.prompts import prompts_from_sheet
from innerear.study.study import Study

from .conftest import DEFAULT, SCHEMA

KEYS = [name for name, _ in documented_keys(SCHEMA)]
MANY = settings(
    max_examples=500,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)

ODD_TEXTS = [
    "",
    " ",
    "nan",
    "inf",
    "1",
    "1.0",
    "0-3",
    "0-99999",
    "all",
    "nul",
    "a{b}",
    "{emotion}",
    "a\n",
    "-a",
    "../a",
]
ODD_TEXTS += [
    "\0",
    "\ud800",
    "\ufeff",
    '"',
    '"a, b"',
    "=1+1",
    "x" * 300,
    "Happy",
    "happy ",
    "cafe\u0301",
    "café",
    "tempo",
]
texts = st.one_of(
    st.sampled_from(ODD_TEXTS), st.text(max_size=12), st.from_regex(r"[a-z]{1,3} \{emotion\}", fullmatch=True)
)
numbers = st.one_of(
    st.sampled_from([0, 1, -1, 1.0, 2, 2.0, 0.5, 10**9, 10**30, 2**32, 1e308, 5e-324, 250.0, 19, 99.0]),
    st.integers(),
    st.floats(),
    st.integers(min_value=0, max_value=5).map(float),
)
scalars = st.one_of(st.none(), st.booleans(), numbers, texts, st.dates(), st.binary(max_size=3))
labels = st.dictionaries(st.just("tempo"), scalars)
templates = st.fixed_dictionaries(
    {"id": texts, "text": texts}, optional={"neutral": texts, "paraphrase": texts}
)
emotions = st.fixed_dictionaries(
    {"id": texts}, optional={"valence": numbers, "arousal": numbers, "labels": labels}
)
names = st.one_of(
    texts,
    st.sampled_from([1, True, None, *KEYS]),
    st.sampled_from(["layers", "sites", "n_layers", "d_model"]),
)
values = st.recursive(
    st.one_of(scalars, templates, emotions),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(names, inner, max_size=3)),
    max_leaves=8,
)
likely = st.one_of(
    values,
    st.lists(templates, min_size=1, max_size=3),
    st.lists(emotions, min_size=1, max_size=3),
    st.lists(st.one_of(st.integers(0, 6), st.integers(0, 6).map(float)), max_size=4),
    st.dictionaries(
        texts, st.dictionaries(st.sampled_from(["layers", "sites", "dtype"]), values), max_size=2
    ),
)


word = st.sampled_from(["piano", "band", "happy", "sad", "calm", "Happy", "slow tune", "2", "01", "two"])
likely_templates = st.lists(
    st.builds(lambda name, text: {"id": name, "text": f"{text} {{emotion}}"}, word, word),
    min_size=1,
    max_size=2,
)
likely_emotions = st.lists(
    st.fixed_dictionaries(
        {"id": word, "labels": st.fixed_dictionaries({"tempo": st.one_of(word, st.integers(0, 3), numbers)})},
        optional={"valence": st.floats(-1.1, 1.1)},
    ),
    min_size=1,
    max_size=2,
)
#: settings that are mostly, but not always, allowed
LIKELY = {
    "seeds": st.one_of(
        st.lists(st.one_of(st.integers(0, 9), st.integers(0, 9).map(float)), min_size=1, max_size=4),
        st.fixed_dictionaries({"each_template": st.integers(0, 3)}),
    ),
    "contrast": st.sampled_from(["emotion", "valence", "tempo", "seed"]),
    "prompts.templates": likely_templates,
    "prompts.emotions": likely_emotions,
    "generation.duration": st.one_of(st.floats(0.1, 9), st.integers(0, 700)),
    "generation.stride": st.floats(0, 1),
    "generation.top_k": st.one_of(st.integers(0, 300), st.integers(0, 300).map(float)),
    "generation.guidance": st.one_of(st.none(), st.floats(0, 21)),
    "capture.layers": st.one_of(
        st.sampled_from(["all", "0-3", "2-1", "5", 5, 2.0]),
        st.lists(st.one_of(st.integers(0, 6), st.integers(0, 5).map(float)), max_size=3),
    ),
    "capture.sites": st.lists(st.sampled_from(["residual", "mlp", "input", "mpl"]), max_size=2),
    "captures": st.dictionaries(
        word, st.fixed_dictionaries({"layers": st.lists(st.integers(0, 6), max_size=2)})
    ),
    "gram.steps_per_matrix": st.integers(1, 30).map(float),
    "statistics.permutations": st.integers(10, 10**6),
}
changes = st.one_of(
    st.sampled_from(sorted(LIKELY)).flatmap(lambda key: st.tuples(st.just(key), LIKELY[key])),
    st.tuples(st.sampled_from([*KEYS, "model", "prompts", "generation", "gram", "x"]), likely),
)


@given(st.lists(changes, max_size=3))
@MANY
def test_settings_are_refused_in_one_message_or_read(changed):
    config = deepcopy(DEFAULT)
    for key, value in changed:
        *sections, name = key.split(".")
        place = config
        for section in sections:
            if not isinstance(place.get(section), dict):
                place[section] = {}
            place = place[section]
        place[name] = value
    study = read_or_refused(lambda: Study.from_settings(config, SCHEMA))
    if study:
        check_study(study)


def read_or_refused(read):
    """Return what is read, None if it is refused as it should be; both within a second of work."""
    started = time.process_time()
    try:
        return read()
    except InputError as error:
        message = str(error)
        assert message.encode()
        assert "\0" not in message
        assert len(message) < 20_000
        return None
    finally:
        assert time.process_time() - started < 1


def check_study(study):
    """Assert what must hold of every study that is read."""
    assert json.dumps(study.settings, allow_nan=False, ensure_ascii=False).encode()
    check_integers(study.settings, SCHEMA)
    for seeds in study.seeds.values():
        assert len(set(seeds)) == len(seeds) == study.estimate.n_seeds <= 10_000
        assert all(0 <= seed < 2**32 for seed in seeds)
    assert len({sample.id for sample in study.samples}) == study.estimate.n_samples
    for layers in [study.layers, *(capture["layers"] for capture in study.captures.values())]:
        assert set(layers) <= set(range(study.architecture.n_layers))
        assert {type(layer) for layer in layers} == {int}
    folders = [study.settings["study"], *study.settings["captures"], *(prompt.id for prompt in study.prompts)]
    assert all(re.fullmatch("[A-Za-z0-9][A-Za-z0-9_-]{0,99}", folder) for folder in folders)
    check_prompts(study.prompts)


def check_integers(value, schema):
    if isinstance(value, dict):
        for name, part in value.items():
            check_integers(
                part, schema.get("properties", {}).get(name, schema.get("additionalProperties") or {})
            )
    elif isinstance(value, list):
        for part in value:
            check_integers(part, schema.get("items", {}))
    elif schema.get("type") == "integer":
        assert type(value) is int


def check_prompts(prompts):
    assert prompts
    ids = [prompt.id.lower() for prompt in prompts]
    read = [" ".join(unicodedata.normalize("NFKC", prompt.text).split()) for prompt in prompts]
    assert len(set(ids)) == len(set(read)) == len(prompts)
    for prompt in prompts:
        assert prompt.text.strip()
        assert prompt.emotion
        assert not {unicodedata.category(one) for one in prompt.text + prompt.emotion} & {"Cc", "Cs"}
        assert all(rating is None or -1 <= rating <= 1 for rating in (prompt.valence, prompt.arousal))
    assert len({type(prompt.label) for prompt in prompts}) == 1


cells = st.one_of(word, word, texts)
columns = st.sampled_from(["id", "text", "emotion", "template", "valence", "neutral", "paraphrase", "tempo"])
headers = st.one_of(
    st.just(["id", "text", "emotion"]),
    st.just(["id", "text", "emotion", "tempo"]),
    st.just(["id", "text", "emotion", "template", "valence"]),
    st.lists(st.one_of(columns, texts), max_size=6),
)


@st.composite
def sheets(draw):
    """The bytes of a sheet, some of them broken, and its text."""
    header = draw(headers)
    likely_cells = {"id": word, "text": word, "emotion": word, "template": word, "tempo": word}
    likely_cells |= {"valence": st.sampled_from(["0.5", "-1", "", "2"])}
    rows = draw(st.lists(st.tuples(*(likely_cells.get(name, cells) for name in header)), max_size=3))
    broken = draw(st.lists(st.lists(cells, max_size=6), max_size=1))
    end = draw(st.sampled_from(["\n", "\r\n", "\r"]))
    text = end.join("\t".join(row) for row in [header, *rows, *broken]) + draw(st.sampled_from(["", end]))
    encoding = draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le"]))
    return text.encode(encoding, "surrogatepass"), text


@given(sheets(), st.sampled_from(["", "tempo"]))
@MANY
def test_sheets_are_refused_in_one_message_or_read(tmp_path, sheet, label):
    data, text = sheet
    path = tmp_path / "sheet.tsv"
    path.write_bytes(data)
    prompts = read_or_refused(lambda: prompts_from_sheet(path, label))
    if prompts:
        check_prompts(prompts)
        header, *rows = re.split("\r\n|\r|\n", text.removeprefix("\ufeff"))
        place = [name.strip() for name in header.split("\t")].index("text")
        written = [" ".join(row.split("\t")[place].split()) for row in rows if row.strip()]
        assert sorted(prompt.text for prompt in prompts) == sorted(written)


@given(
    st.binary(max_size=60), st.sampled_from([b"", codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF32_BE])
)
@MANY
def test_bytes_of_any_kind_are_no_sheet(tmp_path, data, mark):
    path = tmp_path / "sheet.tsv"
    path.write_bytes(mark + b"id\ttext\temotion\n" + data)
    read_or_refused(lambda: prompts_from_sheet(path))
    path.write_bytes(mark + data)
    with pytest.raises(InputError):
        prompts_from_sheet(path)
