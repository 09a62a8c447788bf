"""Cells are what reading a clip's codes under a text by hand gives, in the order that the files say."""

import numpy as np
import pytest
import torch

from innerear import ActivationExtractor
from innerear.capture import counterfactual
from innerear.capture.counterfactual import Cells, Clip, cell_gram, replay_template, replay_templates
from innerear.capture.generation import generate_samples
from innerear.errors import InputError
from innerear.gram.reading import raw_gram
from innerear.models import load_model
from innerear.stacks import GramFile, Stack
from innerear.study.prompts import Prompt, Sample

# Texts of several lengths in tokens, in one template.
PROMPTS = [
    Prompt("piano-happy", "happy music with a piano", "piano", "happy"),
    Prompt("piano-sad", "sad music", "piano", "sad"),
]
SEEDS = [4, 3]
NEUTRAL = "music with a piano"
PARAPHRASES = {"happy": "a happy piano", "sad": "the piano with sad music and a guitar"}
TEXTS = ["happy", "sad", "neutral", "none", "paraphrase"]
GENERATION = {"duration": 0.5, "guidance": 2.0}


@pytest.fixture(scope="module")
def stacks(tiny_model, tmp_path_factory):
    """Clips of one template: two emotions × two seeds."""
    folder = tmp_path_factory.mktemp("stacks")
    samples = [Sample(prompt, seed) for prompt in PROMPTS for seed in SEEDS]
    paths = [folder / f"{i}.h5" for i in range(len(samples))]
    generate_samples(
        tiny_model,
        samples,
        paths,
        [path.with_suffix(".wav") for path in paths],
        study="s",
        capture={"layers": "all", "dtype": "float16"},
        generation=GENERATION,
    )
    return paths


def replay(model, stacks, folder, layers=(0, 2), texts=(NEUTRAL, PARAPHRASES), **options):
    neutral, paraphrases = texts
    replay_template(model, stacks, folder, layers=layers, neutral=neutral, paraphrases=paraphrases, **options)
    return {layer: folder / f"layer_{layer:02d}.h5" for layer in layers}, folder / "likelihood.h5"


@pytest.fixture(scope="module")
def files(tiny_model, stacks, tmp_path_factory):
    folder = tmp_path_factory.mktemp("cells")
    return replay(
        tiny_model, stacks, folder, batch_size=3, layers_at_once=1, keep_states=True, dtype="float32"
    )


@pytest.fixture(scope="module")
def by_hand(tiny_model, stacks):
    """States [S, C, D] of layer 2 and nll [distribution, K, T], by clip and text, each read alone."""
    found = {}
    with ActivationExtractor(tiny_model, layers=[2]) as extractor:
        for path in stacks:
            with Stack(path) as stack:
                texts = {prompt.emotion: prompt.text for prompt in PROMPTS}
                texts |= {"neutral": NEUTRAL, "paraphrase": PARAPHRASES[stack.attrs["emotion"]]}
                for name, text in texts.items():
                    codes = torch.from_numpy(stack.codes).long()[None]
                    nll = extractor.replay([text], codes, stack.timeline, guidance=2.0)[0].numpy()
                    states = extractor.get_activations()["layer_2"][:, :, 0].numpy()
                    found[stack.attrs["sample_id"], name] = states, nll
    return found


def cells_of(file):
    return list(zip(file.coords("codes").tolist(), file.coords("text").tolist(), strict=True))


def expected_states(by_hand, codes, text):
    # Without text all is as in the uncond branch, whatever the cond branch reads.
    return by_hand[codes, "happy"][0][:, 1] if text == "none" else by_hand[codes, text][0][:, 0]


def test_cells_are_ordered_by_emotion_then_seed_then_text(files):
    with GramFile(files[0][2]) as gram:
        samples = [f"{prompt.id}/seed-{seed}" for prompt in PROMPTS for seed in SEEDS]
        assert cells_of(gram) == [(sample, text) for sample in samples for text in TEXTS]
        assert gram.coords("codes_emotion").tolist() == ["happy"] * 10 + ["sad"] * 10
        assert gram.read("seed").tolist() == [*[4] * 5, *[3] * 5] * 2
        assert gram.coords("prompt").tolist()[:5] == [
            PROMPTS[0].text,
            PROMPTS[1].text,
            NEUTRAL,
            "",
            PARAPHRASES["happy"],
        ]
        assert gram.coords("emotion").tolist() == ["happy", "sad"]
        assert gram.coords("text_of_all").tolist() == TEXTS[:-1]
        assert (gram.attrs["weights"], gram.attrs["layer"], gram.attrs["template"]) == ("trained", 2, "piano")


def test_the_gram_is_that_of_each_clip_read_by_hand_under_each_text(files, by_hand):
    with GramFile(files[0][2]) as gram:
        cells = cells_of(gram)
        states = np.stack([expected_states(by_hand, *cell) for cell in cells], axis=1).astype(float)
        np.testing.assert_allclose(
            gram.read("states").swapaxes(0, 1), states, atol=1e-4 * np.abs(states).max()
        )
        core = np.array([text != "paraphrase" for _, text in cells])
        centred = states - states[:, core].mean(axis=1, keepdims=True)
        direct = centred @ centred.swapaxes(1, 2)
        np.testing.assert_allclose(gram.read("gram"), direct, atol=1e-4 * np.abs(direct).max())
        raw = raw_gram(*(gram.read(name) for name in ("gram", "mean_product", "mean_norm")))
        np.testing.assert_allclose(raw, states @ states.swapaxes(1, 2), rtol=1e-3)
        assert gram.read("complete").sum() == 22
        whole = states[gram.read("complete")].mean(axis=0)
        of_window = [
            gram.read(name, window=0) for name in ("window_gram", "window_mean_product", "window_mean_norm")
        ]
        np.testing.assert_allclose(raw_gram(*of_window), whole @ whole.T, rtol=1e-3)


def test_means_are_over_seeds_by_emotion_of_the_codes_and_text(files):
    with GramFile(files[0][0]) as gram:
        states, means = gram.read("states"), gram.read("cell_mean")
        emotion, text = gram.coords("codes_emotion"), gram.coords("text")
        for a, codes in enumerate(gram.coords("emotion")):
            for b, read in enumerate(gram.coords("text_of_all")):
                own = states[(emotion == codes) & (text == read)]
                assert len(own) == len(SEEDS)
                np.testing.assert_allclose(means[:, a, b], own.mean(axis=0), atol=1e-6)


def test_a_clip_under_its_own_text_is_what_was_captured(files, stacks):
    with GramFile(files[0][2]) as gram:
        cells, states = cells_of(gram), gram.read("states")
        for path in stacks:
            with Stack(path) as stack:
                stored = stack.read(2).astype(np.float32)
                for branch, text in enumerate((stack.attrs["emotion"], "none")):
                    cell = states[cells.index((stack.attrs["sample_id"], text))]
                    np.testing.assert_allclose(cell, stored[branch], atol=2e-3 * np.abs(stored).max())


def test_the_likelihood_is_that_of_a_replay(files, by_hand):
    with GramFile(files[1]) as likelihood:
        nll = likelihood.read("nll")
        assert likelihood.coords("distribution").tolist() == ["cond", "guided"]
        for i, (codes, text) in enumerate(cells_of(likelihood)):
            expected = (
                by_hand[codes, "happy"][1][[1, 1]] if text == "none" else by_hand[codes, text][1][[0, 2]]
            )
            np.testing.assert_allclose(nll[i], expected, atol=1e-4)


def test_neither_batches_nor_groups_of_layers_matter(files, tiny_model, stacks, tmp_path):
    other = replay(tiny_model, stacks, tmp_path, batch_size=100)
    for layer in (0, 2):
        with GramFile(files[0][layer]) as one, GramFile(other[0][layer]) as two:
            gram = one.read("gram")
            np.testing.assert_allclose(two.read("gram"), gram, atol=1e-4 * np.abs(gram).max())
            assert two.read("cell_mean").dtype == np.float16
            assert "states" not in two


def replay_job(model, stacks, folder, **how):
    """A job of two templates, which differ in the texts that are given."""
    all_texts = {"stacks": [str(path) for path in stacks], "neutral": NEUTRAL, "paraphrases": PARAPHRASES}
    fewer = all_texts | {"neutral": None, "paraphrases": {}}
    folders = [folder / "one", folder / "two"]
    return replay_templates(model, [all_texts, fewer], folders, **{"layers": [2]} | how)


def whole(folder):
    """Name → bytes of a folder's files."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_job_of_several_templates_writes_what_each_alone_writes(tiny_model, stacks, tmp_path):
    replay(tiny_model, stacks, tmp_path / "alone/one", layers=[2])
    replay(tiny_model, stacks, tmp_path / "alone/two", layers=[2], texts=(None, {}))
    replay_job(tiny_model, stacks, tmp_path / "together")
    assert whole(tmp_path / "together") == whole(tmp_path / "alone")


def test_a_stopped_job_keeps_what_it_finished_until_something_changes(
    tiny_model, stacks, tmp_path, monkeypatch
):
    read, made = counterfactual.replay_template, []

    def stopped_at(last):
        def replayed(model, **given):
            if given["name"].name == last:
                raise KeyboardInterrupt
            made.append(given["name"].name)
            return read(model, **given)

        return replayed

    monkeypatch.setattr(counterfactual, "replay_template", stopped_at("two"))
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            replay_job(tiny_model, stacks, tmp_path)
        assert not (tmp_path / "one").exists()
    assert made == ["one"]
    with pytest.raises(KeyboardInterrupt):
        replay_job(tiny_model, stacks, tmp_path, made_with="other code")
    assert made == ["one", "one"]
    monkeypatch.setattr(counterfactual, "replay_template", stopped_at(None))
    # Of the second template alone: four clips under two texts.
    assert replay_job(tiny_model, stacks, tmp_path) == 8
    assert made == ["one", "one", "two"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "two"]
    undisturbed = tmp_path / "undisturbed"
    assert replay_job(tiny_model, stacks, undisturbed) == 4 * (4 + 2)
    two_groups = replay_job(tiny_model, stacks, tmp_path / "groups", layers=[0, 2], layers_at_once=1)
    assert two_groups == 2 * 4 * (4 + 2)
    assert whole(undisturbed / "one") == whole(tmp_path / "one")


def test_controls_that_are_not_given_are_left_out(tiny_model, stacks, tmp_path):
    outputs, _ = replay(tiny_model, stacks, tmp_path, layers=[0], texts=(None, {}))
    with GramFile(outputs[0]) as gram:
        assert gram.coords("text").tolist() == ["happy", "sad", "none"] * 4
        assert gram.coords("text_of_all").tolist() == ["happy", "sad", "none"]


def test_the_random_twin_reads_the_models_codes_and_says_so(tiny_checkpoint, stacks, tmp_path):
    twin = load_model(tiny_checkpoint, device="cpu", random_init=True, seed=1)
    outputs, _ = replay(twin, stacks, tmp_path, layers=[2])
    with GramFile(outputs[2]) as gram:
        assert gram.attrs["weights"] == "random_init"
        assert gram.attrs["weights_identity"] == f"{gram.attrs['model_identity']};random_init:1"


def test_a_clip_of_another_length_is_refused(tiny_model, stacks, tmp_path):
    longer = tmp_path / "longer.h5"
    generate_samples(
        tiny_model,
        [Sample(PROMPTS[1], SEEDS[1])],
        [longer],
        [tmp_path / "longer.wav"],
        study="s",
        capture={"layers": [0], "dtype": "float16"},
        generation=GENERATION | {"duration": 0.6},
    )
    with pytest.raises(InputError, match="another timeline"):
        replay(tiny_model, [*stacks[:-1], longer], tmp_path)


def test_foreign_weights_and_missing_stacks_are_refused(tiny_model, stacks, tmp_path, monkeypatch):
    with pytest.raises(InputError, match="does not exist; make it with"):
        replay(tiny_model, [*stacks[:-1], tmp_path / "gone.h5"], tmp_path)
    monkeypatch.setattr(tiny_model, "_identity", "sha256:other")
    with pytest.raises(InputError, match="with the model that composed them, or with its random_init twin"):
        replay(tiny_model, stacks, tmp_path)
    assert not any(tmp_path.iterdir())


def clip(emotion, seed, text="t"):
    return Clip(f"{emotion}/{seed}", emotion, seed, text, np.zeros((1, 4), np.int16))


@pytest.mark.parametrize(
    ("clips", "message"),
    [
        ([clip("a", 0), clip("a", 1)], "not two or more emotions"),
        ([clip("a", 0), clip("b", 1)], "not two or more emotions × the same seeds"),
        ([clip("a", 0), clip("b", 0), clip("a", 1), clip("b", 1)], "emotion by emotion"),
        ([clip("a", 0), clip("a", 1, "u"), clip("b", 0), clip("b", 1)], "another clip of 'a' from 'u'"),
    ],
)
def test_clips_that_are_not_crossed_are_refused(clips, message):
    with pytest.raises(InputError, match=message):
        Cells(clips, None, {})


def test_a_common_mean_that_dwarfs_the_cells_costs_no_precision():
    cells = Cells([clip(emotion, seed) for emotion in "ab" for seed in (0, 1)], "n", {})
    rng = np.random.default_rng(0)
    spread = rng.normal(size=(5, len(cells), 8))
    states = (spread + 1000 * rng.normal(size=8)).astype(np.float32)
    arrays, _ = cell_gram(states, cells, np.ones(5, bool))
    exact = states.astype(float) - states.astype(float).mean(axis=1, keepdims=True)
    np.testing.assert_allclose(arrays["gram"][1], exact @ exact.swapaxes(1, 2), atol=1e-3)


def test_states_that_overflowed_are_refused_by_name():
    cells = Cells([clip(emotion, 0, emotion) for emotion in "ab"], None, {})
    states = np.zeros((5, len(cells), 2), np.float32)
    states[3, 1] = np.inf
    with pytest.raises(InputError, match=r"a/0 under 'b' are not finite at step 3.*model\.dtype: float32"):
        cell_gram(states, cells, np.ones(5, bool))
    with pytest.raises(InputError, match=r"past the range of float16; set capture\.dtype"):
        cell_gram(np.full_like(states, 1e5), cells, np.ones(5, bool), "float16")


def test_emotions_and_texts_of_any_language_come_back(tmp_path):
    cells = Cells([clip(emotion, 0, f"{emotion} música") for emotion in ("fröhlich", "грустно")], "¿qué?", {})
    arrays, coords = cells.coordinates()
    GramFile.write(tmp_path / "cells.h5", arrays, coords | {"emotion": np.array(cells.emotions)})
    with GramFile(tmp_path / "cells.h5") as file:
        assert file.coords("emotion").tolist() == ["fröhlich", "грустно"]
        assert file.coords("prompt").tolist() == cells.prompts
        assert file.coords("text").tolist() == ["fröhlich", "грустно", "neutral", "none"] * 2
