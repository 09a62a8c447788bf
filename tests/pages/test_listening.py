"""Answers to a listening test are scored by the page that was handed out, whatever was made since."""

import hashlib
import json
import re

import numpy as np
import pytest

from innerear.analyses.listening_test import Excerpt, Trial
from innerear.errors import InputError
from innerear.pages.listening import keep_page, listening_page, score_answers

RATE = 16000
N_TRIALS = 6


def made(seed):
    """A page, its key and its hash; the right answers depend on the seed."""
    rng = np.random.default_rng(seed)
    offered = tuple(map(Excerpt, "abcd"))
    trials = [Trial("label", "happy", offered, int(rng.integers(4))) for _ in range(N_TRIALS)]
    page, key = listening_page(trials, lambda name: (rng.normal(0, 0.1, (RATE, 1)), RATE), rng)
    return page, key, re.search(r'data-page="(\w+)"', page)[1]


def right(key):
    return [trial["answer"] for trial in json.loads(key)["trials"]]


def saved(path, page, choices, listener="ann"):
    """A file of answers as the page saves it."""
    answers = [{"trial": i, "choice": choice} for i, choice in enumerate(choices)]
    body = json.dumps({"page": page, "listener": listener, "answers": answers})
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"body": body, "sha256": hashlib.sha256(body.encode()).hexdigest()}))
    return path


@pytest.fixture
def study(tmp_path):
    """The folder of a study whose page was made twice, as the rule makes it, and both pages."""
    pages = [made(seed) for seed in (0, 1)]
    for page, key, _ in pages:
        keep_page(page, key, tmp_path / "listening/pages")
        (tmp_path / "listening_test.html").write_text(page)
        (tmp_path / "listening/key.json").write_text(key)
    return tmp_path, *pages


def test_answers_to_an_earlier_page_are_scored_by_its_key(study):
    folder, (_, key, name), (_, other, _) = study
    assert right(key) != right(other)
    answers = saved(folder / "responses/a.json", name, right(key))
    found = score_answers([answers], folder)
    assert set(found["page"]) == {name} and (found["right"] == N_TRIALS).all()


def test_answers_to_two_pages_are_scored_apart(study):
    folder, (_, key, name), (_, other, later) = study
    wrong = [(one + 1) % 4 for one in right(key)]
    paths = [
        saved(folder / "responses/a.json", name, wrong),
        saved(folder / "responses/b.json", later, right(other)),
        saved(folder / "responses/c.json", later, right(other), "bob"),
    ]
    found = score_answers(paths, folder).query("group == 'all'").set_index("page")
    assert found["right"].to_dict() == {name: 0, later: 2 * N_TRIALS}
    assert found["n_listeners"].to_dict() == {name: 1, later: 2}


def test_the_same_page_again_is_kept_once_and_others_are_said(tmp_path, capsys):
    (page, key, name), (other, of_other, later) = made(0), made(1)
    for _ in range(2):
        keep_page(page, key, tmp_path)
    assert capsys.readouterr().err == ""
    keep_page(other, of_other, tmp_path)
    assert f"keeps other pages as well, {name}.html;" in capsys.readouterr().err
    assert {path.name for path in tmp_path.iterdir()} == {
        f"{one}.{suffix}" for one in (name, later) for suffix in ("html", "json")
    }
    assert (tmp_path / f"{name}.html").read_text() == page


def test_a_page_from_before_pages_were_kept_is_found_where_it_lies(tmp_path):
    page, key, name = made(0)
    (tmp_path / "listening").mkdir()
    (tmp_path / "listening_test.html").write_text(page)
    (tmp_path / "listening/key.json").write_text(key)
    assert (
        score_answers([saved(tmp_path / "a.json", name, right(key))], tmp_path)["right"] == N_TRIALS
    ).all()


def test_answers_to_a_page_that_is_not_kept_are_refused_by_name(study):
    folder, (_, key, name), _ = study
    for page in ("0" * 64, f"../pages/{name}", ""):
        with pytest.raises(InputError, match=r"a\.json answers another page .*listening/pages keeps"):
            score_answers([saved(folder / "responses/a.json", page, right(key))], folder)
    (folder / "listening/key.json").write_text("{}")  # the copies beside the kept pages are of no account
    assert len(score_answers([saved(folder / "responses/a.json", name, right(key))], folder))
    kept = folder / f"listening/pages/{name}.json"
    kept.write_text(kept.read_text().replace('"answer": ', '"answer": 1', 1))
    with pytest.raises(InputError, match="is not the key of"):
        score_answers([saved(folder / "responses/a.json", name, right(key))], folder)
    with pytest.raises(InputError, match=r"no answers to score.*/responses/"):
        score_answers([], folder)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda key: key.unlink(),
        lambda key: key.write_bytes(b"\xff\xfe"),
        lambda key: (key.unlink(), key.mkdir()),
        lambda key: forge(key, "[" * 100_000),
        lambda key: forge(key, "null"),
        lambda key: forge(key, '{"trials": [{"x": 1}]}'),
    ],
)
def test_a_key_that_is_none_is_refused_by_name(study, spoil):
    folder, (_, key, name), _ = study
    spoil(folder / f"listening/pages/{name}.json")
    with pytest.raises(InputError, match=rf"{name}\.json is not the key of .*{name}\.html .*bring both back"):
        score_answers([saved(folder / "a.json", name, right(key))], folder)


def forge(key, text):
    """Put another key there, and its hash into the page."""
    was = hashlib.sha256(key.read_bytes()).hexdigest()
    key.write_text(text)
    page = key.with_suffix(".html")
    page.write_text(page.read_text("utf-8").replace(was, hashlib.sha256(text.encode()).hexdigest()), "utf-8")


def test_a_page_of_something_else_among_those_that_are_kept_is_left_alone(study):
    folder, (_, key, name), _ = study
    (folder / "listening/pages/other.html").write_bytes("<p>Müller".encode("latin-1"))
    assert len(score_answers([saved(folder / "a.json", name, right(key))], folder))


def wrapped(body):
    return json.dumps({"body": body, "sha256": hashlib.sha256(body.encode("utf-8", "replace")).hexdigest()})


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        wrapped("[" * 100_000),
        wrapped('{"a":' * 100_000),
        json.dumps({"body": '{"page": "p", "listener": "\ud800", "answers": []}', "sha256": "x"}),
        json.dumps({"body": "\ud800", "sha256": "x"}),
        json.dumps({"body": 5, "sha256": "x"}),
        json.dumps({"body": "[]", "sha256": 5}),
        wrapped('{"page": "p", "listener": "a", "answers": [5]}'),
        wrapped('{"page": "p", "listener": "a", "answers": {"trial": 0}}'),
        wrapped(f'{{"page": "p", "listener": "a", "answers": [{{"trial": {"9" * 5000}, "choice": 0}}]}}'),
        "null",
        "",
    ],
)
def test_what_is_no_file_of_answers_is_refused_by_name(study, text):
    folder, _, _ = study
    (folder / "a.json").write_text(text)
    with pytest.raises(InputError, match=r"a\.json is no file of answers that the page saved"):
        score_answers([folder / "a.json"], folder)
    (folder / "a.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=r"a\.json is no file of answers that the page saved"):
        score_answers([folder / "a.json"], folder)


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        (
            [0] * (N_TRIALS + 1),
            f"a.json answers trial {N_TRIALS}; the page has the trials 0 to {N_TRIALS - 1}",
        ),
        ([0] * (N_TRIALS - 2), f"a.json lacks 2 of {N_TRIALS} answers"),
        ([], f"a.json lacks {N_TRIALS} of {N_TRIALS} answers"),
        ([0] * (N_TRIALS - 1) + [4], f"choice 4 of trial {N_TRIALS - 1} was not offered"),
    ],
)
def test_the_number_of_answers_is_said_as_it_is(study, choices, message):
    folder, (_, _, name), _ = study
    with pytest.raises(InputError, match=message):
        score_answers([saved(folder / "a.json", name, choices)], folder)
