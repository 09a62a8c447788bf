"""A study's interventions on a tiny model: each clip is edited as its condition says, and no other way."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from fakes import rows

from innerear import ActivationExtractor, intervene
from innerear.errors import InputError
from innerear.interventions import Add, ProjectOut, Replace, orthonormal
from innerear.interventions.directions import random_directions
from innerear.interventions.fitting import ClipFeatures, Directions, fit, replayed_states, stored_states
from innerear.interventions.measuring import MEASURED, Made, likelihood, measured
from innerear.interventions.patching import patch
from innerear.interventions.steering import ablate, steer, steer_twin, write_sounds
from innerear.io.clips import as_written, read_clip, write_clip
from innerear.models import load_model
from innerear.stacks import GramFile
from innerear.stacks.stack import Stack, StackWriter
from innerear.study.interventions import Condition, Interventions

POLES = ("calm", "happy")
TEMPLATES = {"t0": "piano music", "t1": "guitar music", "t2": "solo music"}
LAYERS = [0, 2]
GENERATION = {"duration": 0.5, "guidance": 3.0}
SETTINGS = {
    "sources": ["means", "probe"],
    "branches": ["both", "cond"],
    "doses": [0.25, 0.5],
    "draws": 3,
    "draw_templates": 1,
    "duration": 0.5,
    "control": True,
    "batch_size": 7,
}
SEEDS = {"t0": 0, "t1": 5, "t2": 9}
PLAN = Interventions(POLES, tuple(LAYERS), TEMPLATES, SEEDS, ("t1",), SETTINGS)


@pytest.fixture(scope="module")
def samples(tiny_model, tmp_path_factory):
    """The index of a study of the tiny model, whose stacks are written."""
    folder, rows = tmp_path_factory.mktemp("study"), []
    extractor = ActivationExtractor(tiny_model, layers=LAYERS)
    for template, text in TEMPLATES.items():
        for emotion in POLES:
            prompt, seed = f"{template}-{emotion}", SEEDS[template]
            extractor.generate([f"{emotion} {text}"], seeds=[seed], duration=0.5)
            attrs = {"sample_id": f"{prompt}/seed-{seed}", "prompt_id": prompt, "template": template}
            attrs |= {"emotion": emotion, "seed": seed, "text": f"{emotion} {text}", "model": "tiny"}
            attrs["model_identity"] = tiny_model.identity()
            path = folder / f"{prompt}.h5"
            codes = extractor.codes[0].numpy()
            with StackWriter(path, attrs, codes, extractor.timeline, ["cond", "uncond"], "float32") as stack:
                for layer in LAYERS:
                    states, levels = extractor._recording.sample("residual", layer, 0)
                    stack.write("residual", layer, states.numpy(), levels.numpy())
            with Stack(path) as stack:
                rows.append({**stack.attrs, "stack": str(path)})
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def directions(samples, tmp_path_factory):
    path = tmp_path_factory.mktemp("directions") / "directions.h5"
    states = stored_states(samples, LAYERS, "residual")
    how = (samples, LAYERS, POLES, SETTINGS["sources"], list(TEMPLATES), path, {"site": "residual"})
    fit(states, *how)
    return Directions(path)


@pytest.fixture(scope="module")
def steered(tiny_model, directions):
    return steer(tiny_model, directions, PLAN, 2, GENERATION)


def test_directions_are_fitted_on_the_other_templates(samples, directions):
    means = {}
    for path, prompt in zip(samples["stack"], samples["prompt_id"], strict=True):
        with Stack(path) as stack:
            means[prompt] = stack.read(2)[:, stack.complete].mean(axis=(0, 1))
    expected = [means[f"{one}-happy"] - means[f"{one}-calm"] for one in ("t0", "t2")]
    direction = directions.direction(2, "means", "t1")
    assert np.allclose(direction.vector, np.mean(expected, axis=0), atol=1e-5)
    direction.require_unseen(["t1-calm", "t1-happy"])
    with pytest.raises(InputError, match="was fitted on prompt 't0-calm'"):
        direction.require_unseen(["t1-calm", "t0-calm"])
    differences, mean = directions.subspace(2, "t1")
    assert np.allclose(differences[1] - differences[0], direction.vector, atol=1e-5)
    assert np.allclose(
        mean, np.mean([means[f"{t}-{e}"] for t in ("t0", "t2") for e in POLES], axis=0), atol=1e-5
    )
    with pytest.raises(InputError, match="no direction was fitted without template 't9'"):
        directions.direction(2, "means", "t9")


def test_a_feature_is_chosen_in_other_templates_and_steers_none_that_its_dictionary_has_seen(
    samples, tmp_path
):
    rng = np.random.default_rng(0)
    means = rng.random((len(samples), 5)) / 100
    happy = (samples["emotion"] == "happy").to_numpy()
    means[happy, 3] += 2.0
    means[happy & (samples["template"] == "t1").to_numpy(), 4] += 50.0  # told by t1 alone
    decoder = rng.normal(size=(5, 32))
    decoder /= np.linalg.norm(decoder, axis=1, keepdims=True)
    features = {layer: ClipFeatures(means, decoder, frozenset(["t0-calm", "t0-happy"])) for layer in LAYERS}
    path = tmp_path / "directions.h5"
    states = stored_states(samples, LAYERS, "residual")
    fit(
        states,
        samples,
        LAYERS,
        POLES,
        ["means", "features"],
        list(TEMPLATES),
        path,
        {"site": "residual"},
        features,
    )
    found = Directions(path)
    assert [found.feature(2, "features", one) for one in TEMPLATES] == [4, 3, 4]  # without t0, t1, t2
    assert found.feature(2, "means", "t0") == -1
    direction = found.direction(2, "features", "t1")
    length = np.linalg.norm(found.direction(2, "means", "t1").vector)
    assert np.allclose(direction.vector, length * decoder[3], atol=1e-5)
    direction.require_unseen(["t1-calm", "t1-happy"])
    with pytest.raises(InputError, match="was fitted on prompt 't0-calm'"):
        found.direction(2, "features", "t0").require_unseen(["t0-calm"])
    found.direction(2, "means", "t0").require_unseen(["t0-calm"])


def test_the_covariance_is_that_of_all_tokens(samples, directions):
    tokens = np.concatenate([one[2][0].reshape(-1, 32) for one in stored_states(samples, LAYERS, "residual")])
    assert np.allclose(directions.covariance(2), np.cov(tokens.T, bias=True), atol=1e-3)


def test_a_replay_gives_the_states_that_were_recorded(samples, tiny_model):
    recorded = np.concatenate([one[2] for one in stored_states(samples, LAYERS, "residual")])
    read = replayed_states(samples, LAYERS, "residual", tiny_model, batch_size=4)
    assert np.allclose(recorded, np.concatenate([one[2] for one in read]), atol=1e-4)


def test_there_is_a_row_for_each_clip_of_the_plan(steered):
    table, _ = steered
    assert len(table) == PLAN.n_steered
    keys = ["source", "branch", "dose", "draw", "template"]
    assert not table[keys].duplicated().any()
    assert set(table.loc[table["source"] == "random", "template"]) == {"t1"}
    assert set(MEASURED) <= set(table)
    assert table.loc[table["source"] != "random", "nll"].notna().all()
    assert table.loc[table["source"] == "random", "nll"].isna().all()


def composed(model, text, seed, edits):
    """One clip that is composed with edits."""
    with intervene(model, edits):
        made = model.generate([text], [seed], **GENERATION)
    return Made(made.codes, made.audio)


def test_each_clip_is_edited_as_its_condition_says(tiny_model, directions, steered):
    table, sounds = steered
    vector = directions.direction(2, "means", "t1").vector
    drawn = random_directions(directions.covariance(2), 1.0, 3, seed=2) * np.linalg.norm(vector)
    vectors = {
        Condition("none"): vector,
        Condition("means", "both", 0.5): vector,
        Condition("means", "cond", -0.25): vector,
        Condition("random", "both", 0.5, 0): drawn[0],
        Condition("random", "both", -0.5, 2): drawn[2],
    }
    for condition, own in vectors.items():
        edit = Add(condition.dose * own, layers=2, branch=condition.branch)
        made = composed(tiny_model, TEMPLATES["t1"], SEEDS["t1"], edit)
        same = (table[name] == value for name, value in condition._asdict().items())
        [row] = table[np.logical_and.reduce([*same, table["template"] == "t1"])].to_dict("records")
        expected = measured(tiny_model, made)
        for name in MEASURED:
            assert np.allclose(row[name], expected[name], rtol=1e-4, equal_nan=True), (condition, name)
        if condition.branch == "both" and (condition.source != "random" or condition.dose > 0):
            kept = sounds["t1", condition.dose, condition.draw]
            assert np.allclose(kept, made.audio[0].numpy(), atol=1e-5)


def test_a_clips_likelihood_is_guided_and_of_the_untouched_model_under_the_neutral_text(
    tiny_model, directions, steered
):
    table, _ = steered
    edit = Add(0.5 * directions.direction(2, "means", "t1").vector, layers=2)
    codes = composed(tiny_model, TEMPLATES["t1"], SEEDS["t1"], edit).codes
    timeline = tiny_model.timeline(0.5)
    cond, _, guided = (
        tiny_model.replay(codes, [TEMPLATES["t1"]], timeline, guidance=3.0)[0].mean(dim=(1, 2)).tolist()
    )
    assert abs(guided - cond) > 0.01
    of_clip = {"source": "means", "branch": "both", "dose": 0.5, "template": "t1"}
    assert rows(table, **of_clip)["nll"].tolist() == pytest.approx([guided], abs=1e-4)
    # Guidance of 1, and none, is cond alone.
    for guidance in (1.0, None):
        found = likelihood(
            tiny_model, Made(codes, None), [TEMPLATES["t1"]], {"duration": 0.5, "guidance": guidance}
        )
        assert found.tolist() == pytest.approx([cond], abs=1e-4)


def test_the_distance_of_states_is_that_of_the_edited_layer_from_the_other_templates(
    tiny_model, directions, steered
):
    """The states of the run that is edited, as an extractor inside records them."""
    covariance, usual = directions.covariance(2), directions.subspace(2, "t1")[1]
    vector = directions.direction(2, "means", "t1").vector
    found = []
    for dose in (0.0, 0.25, 0.5):
        extractor = ActivationExtractor(tiny_model, layers=[2])
        with intervene(tiny_model, Add(dose * vector, layers=2)):
            extractor.generate([TEMPLATES["t1"]], seeds=[SEEDS["t1"]], **GENERATION)
        states = extractor.get_activations()["layer_2"][extractor.timeline.complete]  # [S, C, 1, D]
        away = (np.asarray(states)[:, :, 0] - usual) ** 2
        source = "means" if dose else "none"
        row = rows(steered[0], source=source, branch="both", dose=dose, template="t1")
        expected = np.sqrt(away.sum(axis=-1).mean() / np.trace(covariance))
        assert row["distance"].tolist() == pytest.approx([expected], rel=1e-3)
        found.append(expected)
    assert len(set(found)) == 3
    assert steered[0]["distance"].notna().all()


def test_untouched_clips_do_not_depend_on_the_layer(tiny_model, directions, steered):
    other, _ = steer(tiny_model, directions, PLAN, 0, GENERATION, [Condition("none")])
    own = steered[0][steered[0]["source"] == "none"]
    assert np.allclose(other[list(MEASURED)], own[list(MEASURED)], rtol=1e-4, equal_nan=True)


def test_sounds_are_kept_for_the_page(steered, tmp_path):
    _, sounds = steered
    write_sounds(sounds, tmp_path / "sounds.h5", 1600, 2)
    with GramFile(tmp_path / "sounds.h5") as file:
        assert file.coords("dose").tolist() == [-0.5, -0.25, 0, 0.25, 0.5]
        assert file.labels("template") == ["t1"]
        kept = file.read("audio", template="t1")
        random, templates = file.read("random_audio"), file.read("random_template")
    expected = np.stack([sounds["t1", dose, -1] for dose in (-0.5, -0.25, 0, 0.25, 0.5)])
    assert np.abs(kept / 32767 - np.clip(expected, -1, 1)).max() < 1e-4
    expected = np.stack([sounds["t1", 0.5, draw] for draw in range(3)])
    assert np.abs(random / 32767 - np.clip(expected, -1, 1)).max() < 1e-4
    assert templates.tolist() == [0, 0, 0]


def test_a_twin_is_steered_at_its_own_directions(samples, tiny_checkpoint, tmp_path):
    twin = load_model(tiny_checkpoint, device="cpu", random_init=True)
    states = replayed_states(samples, LAYERS, "residual", twin)
    fit(states, samples, LAYERS, POLES, ["means"], list(TEMPLATES), tmp_path / "d.h5", {"site": "residual"})
    table = steer_twin(twin, Directions(tmp_path / "d.h5"), PLAN, GENERATION)
    assert len(table) == len(LAYERS) * 3 * len(TEMPLATES)
    assert set(table["weights"]) == {"random_init"}
    assert set(table["dose"]) == {-0.5, 0.0, 0.5}


def test_clips_are_composed_without_a_subspace(tiny_model, directions):
    prompts = [
        {"id": f"{template}-{emotion}", "template": template, "emotion": emotion, "text": f"{emotion} {text}"}
        for template, text in TEMPLATES.items()
        for emotion in POLES
    ]
    table = ablate(tiny_model, directions, PLAN, [*prompts, {**prompts[0], "template": "other"}], GENERATION)
    assert len(table) == 4 * len(prompts)
    assert table.groupby(["layer", "subspace"]).size().to_dict() == dict.fromkeys(
        [("2", "labels"), ("2", "random"), ("all", "labels"), ("all", "random")], 6
    )
    assert np.isfinite(table[["loudness", "rms"]].to_numpy()).any()


def without(directions, layer, template, subspace):
    """The edit that projects the labels' subspace out of a layer's states, or a random one of its rank."""
    differences, mean = directions.subspace(layer, template)
    basis = orthonormal(differences)
    if subspace == "random":
        seed = [layer, list(TEMPLATES).index(template)]
        basis = orthonormal(random_directions(directions.covariance(layer), 1.0, len(basis), seed))
    return ProjectOut(basis, mean, layers=layer)


def test_an_ablation_removes_the_labels_and_its_control_a_random_subspace(tiny_model, directions):
    text = f"happy {TEMPLATES['t1']}"
    prompts = [{"id": "t1-happy", "template": "t1", "emotion": "happy", "text": text}]
    table = ablate(tiny_model, directions, PLAN, prompts, GENERATION).set_index(["layer", "subspace"])
    for where, layers in {"2": [2], "all": LAYERS}.items():
        for subspace in ("labels", "random"):
            edits = [without(directions, layer, "t1", subspace) for layer in layers]
            expected = measured(tiny_model, composed(tiny_model, text, SEEDS["t1"], edits))
            found = table.loc[(where, subspace), list(MEASURED)].to_numpy(float)
            assert np.allclose(found, expected[list(MEASURED)], rtol=1e-4, equal_nan=True), (where, subspace)
        # Were the two alike, the control could be taken for the ablation.
        assert abs(table.loc[(where, "labels"), "rms"] - table.loc[(where, "random"), "rms"]) > 0.01


@pytest.fixture(scope="module")
def likelihoods(samples, tiny_model):
    """Nats of a token by layer, difference, window, template and emotion, with patched states."""
    table = patch(tiny_model, samples, PLAN, site="residual", guidance=3.0)
    return table.set_index(["layer", "differs", "window", "template", "emotion"])["nll"].sort_index()


def test_patching_the_last_layer_is_reading_under_the_other_text(samples, tiny_model, likelihoods):
    own, other = likelihoods["none", "", "whole"], likelihoods["none", "text", "whole"]
    assert np.allclose(likelihoods["2", "text", "whole"], other, atol=1e-4)
    assert not np.allclose(own, other, atol=1e-4)
    assert np.abs(likelihoods["0", "text", "whole"] - own).max() <= np.abs(other - own).max()
    with pytest.raises(InputError, match="clips are not one of either pole in 3 templates"):
        patch(tiny_model, samples.iloc[:3], PLAN, site="residual", guidance=3.0)


@pytest.mark.parametrize("differs", ["text", "history"])
def test_half_a_clip_is_read_with_the_states_of_the_other_text_or_clip(
    samples, tiny_model, likelihoods, differs
):
    extractor = ActivationExtractor(tiny_model, layers=[2])
    clips = samples[samples["template"] == "t1"].set_index("emotion")
    texts, codes = {}, {}
    for emotion, path in clips["stack"].items():
        with Stack(path) as stack:
            texts[emotion], codes[emotion] = [stack.attrs["text"]], torch.from_numpy(stack.codes).long()[None]
    timeline = tiny_model.timeline(0.5)
    half = round(timeline.n_steps / 2)
    for emotion, other in (POLES, POLES[::-1]):
        own = {"text": (texts[other], codes[emotion]), "history": (texts[emotion], codes[other])}[differs]
        extractor.replay(*own, guidance=3.0)
        donor = extractor.get_activations()["layer_2"][:, 0]  # cond: [S, B, D]
        for window, steps in (("first half", (0, half)), ("second half", (half, timeline.n_steps))):
            with intervene(tiny_model, Replace(donor, layers=2, branch="cond", steps=steps)):
                nll = tiny_model.replay(codes[emotion], texts[emotion], timeline, guidance=3.0)
            found = likelihoods["2", differs, window, "t1", emotion]
            assert found == pytest.approx(nll[0, 0].mean().item(), abs=1e-4)
            assert abs(found - likelihoods["none", "", "whole", "t1", emotion]) > 1e-3


def test_silence_has_a_reason_and_no_values(tiny_model):
    made = Made(torch.zeros(1, 4, 25, dtype=torch.long), torch.zeros(1, 16000))
    table = measured(tiny_model, made)
    assert table[list(MEASURED)].isna().all(axis=None)
    assert table["reason"].iloc[0].startswith("silent")


def test_a_clip_past_full_scale_is_measured_as_a_file_holds_it(tiny_model, tmp_path):
    seconds = np.arange(16000) / 16000
    loud = 1.5 * np.sin(2 * np.pi * 220 * seconds).astype(np.float32)
    waves = torch.from_numpy(np.stack([loud, loud / 2]))
    table = measured(tiny_model, Made(torch.zeros(2, 4, 25, dtype=torch.long), waves))
    assert table["reason"].iloc[0].startswith("clipped")
    assert table[list(MEASURED)].iloc[0].isna().all()
    write_clip(tmp_path / "clip.wav", loud / 2, 16000)
    wave, *_ = read_clip(tmp_path / "clip.wav")
    assert np.array_equal(as_written(loud / 2, 16000), wave[:, 0])
    assert table["rms"].iloc[1] == pytest.approx(20 * np.log10(np.sqrt(np.mean(wave.astype(float) ** 2))))


def test_an_ablation_of_one_layer_composes_its_clips_once(tiny_model, directions):
    prompts = [{"id": "a", "template": "t0", "emotion": POLES[0], "text": "a text"}]
    table = ablate(tiny_model, directions, replace(PLAN, layers=(2,)), prompts, GENERATION)
    assert list(zip(table["layer"], table["subspace"], strict=True)) == [("2", "labels"), ("2", "random")]
