"""One layer of a study: dictionaries beside controls, measured and encoded on held-out clips."""

import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from fake_dictionaries import dense_of, drawn
from fake_tokens import atoms, superposed, write_stack

from innerear.errors import InputError
from innerear.features.activations import Activations
from innerear.features.clips import DELTA, GAUSSIAN, RANDOM_INIT, UNCOND, Clips, States
from innerear.features.files import load, save
from innerear.features.layer_job import (
    clip_means,
    dictionaries_of,
    encode_clips,
    load_layer,
    measure_layer,
    save_layer,
    train_layer,
)

SETTINGS = {"n_latents": 32, "k": 3, "kind": "topk", "steps": 100, "batch": 256, "lr": 1e-2}
N, STEPS, D = 8, 106, 16


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Clips of 4 prompts, of which two are trained on, with their trained dictionaries."""
    folder = tmp_path_factory.mktemp("study")
    known = atoms(D, 24)
    paths, twins = [], []
    for i in range(N):
        uncond = superposed(known, STEPS, seed=i)
        states = np.stack([uncond + 0.3 * superposed(known, STEPS, 1, seed=100 + i), uncond])
        paths.append(str(write_stack(folder / f"{i}.h5", states)))
        noise = np.random.default_rng(i).normal(size=states.shape)
        twins.append(str(write_stack(folder / f"twin-{i}.h5", noise)))
    prompts = [f"t{i // 4}-{i % 2}" for i in range(N)]
    clips = Clips(paths, [None] * N, prompts, twins, ["t0-0", "t0-1"], metadata={"study": "s"})
    dictionaries = train_layer(States(clips, 0), SETTINGS, n_seeds=2)
    save_layer(dictionaries, folder / "dictionaries", clips, 0, steps=100)
    return clips, dictionaries, folder / "dictionaries"


def test_all_dictionaries_are_there_and_say_where_they_come_from(study):
    _, dictionaries, folder = study
    assert {of: len(seeds) for of, seeds in dictionaries.items()} == {
        UNCOND: 2,
        DELTA: 1,
        GAUSSIAN: 1,
        RANDOM_INIT: 2,
    }
    found = load_layer(folder, 0)
    one = found[UNCOND][1]
    assert torch.equal(one.decoder, dictionaries[UNCOND][1].decoder)
    assert one.metadata["training_prompts"] == ["t0-0", "t0-1"]
    assert (one.metadata["seed"], one.metadata["branch"], one.metadata["study"]) == (1, UNCOND, "s")
    with pytest.raises(InputError, match="was trained on t0-1"):
        one.require_unseen(["t1-0", "t0-1"])
    with pytest.raises(InputError, match="has no uncond/layer_07"):
        load_layer(folder, 7)


def test_measures_are_of_held_out_clips_and_rank_as_they_must(study):
    clips, dictionaries, _ = study
    table = measure_layer(States(clips, 0), dictionaries, SETTINGS)
    held = table[table["clips"] == "held-out clips"].set_index(["of", "written_by", "measure"])["estimate"]
    trained = held[UNCOND, "dictionary", "FVU"]
    assert trained < held[UNCOND, "frozen decoder", "FVU"]
    assert trained < held[UNCOND, "components", "FVU"]
    assert trained < held[RANDOM_INIT, "dictionary", "FVU"]
    assert held[UNCOND, "dictionary", "L0"] == pytest.approx(3, abs=0.2)
    assert held[UNCOND, "dictionary", "agreement"] > 1.5 * held[UNCOND, "dictionary", "agreement by chance"]
    assert held[UNCOND, "dictionary", "agreement by chance"] < held[UNCOND, "dictionary", "agreement"]
    assert held[DELTA, "dictionary of uncond", "FVU"] > held[DELTA, "dictionary", "FVU"]


def test_without_held_out_clips_the_table_says_so(study):
    clips, dictionaries, _ = study
    every = Clips(clips.stacks, clips.contents, clips.prompts, clips.twins, list(set(clips.prompts)))
    assert set(measure_layer(States(every, 0), dictionaries, SETTINGS)["clips"]) == {"training clips"}


def test_clips_are_reduced_to_means_and_rates(study, tmp_path):
    clips, _, folder = study
    ids = [f"s{i}" for i in range(N)]
    target = tmp_path / "layer_00.h5"
    arrays, coords = encode_clips(clips, 0, load_layer(folder, 0), ids, target, {"layer": 0})
    assert arrays["training"][1].tolist() == [True] * 4 + [False] * 4
    assert coords["sample"].tolist() == ids
    with Activations(target) as file:
        assert file.branches() == ["cond", "uncond", "delta", "random_init"]
        whole, twin = dense_of(file, "uncond", 5), dense_of(file, "random_init", 5)
    np.testing.assert_allclose(arrays["mean_uncond"][1][5], whole.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(arrays["rate_uncond"][1][5], (whole > 0).mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(arrays["mean_random_init"][1][5], twin.mean(axis=0), rtol=1e-5)
    assert twin.shape[1] == arrays["mean_random_init"][1].shape[1] == 32


def test_a_clip_in_which_nothing_fires_has_means_of_zero():
    means, rates = clip_means(np.zeros((1, 5, 2), np.uint16), np.zeros((1, 5, 2), np.float16), 4)
    assert not means.any() and not rates.any()


def test_published_dictionaries_encode_a_study(study, tmp_path):
    clips, dictionaries, _ = study
    save(dictionaries[UNCOND][0], tmp_path / "theirs" / "uncond" / "layer_00" / "seed-0", {"by": "others"})
    params = SimpleNamespace(given=str(tmp_path / "theirs"))
    clips = replace(clips)
    found = dictionaries_of(clips, States(clips, 0), SETTINGS, params)
    assert list(found) == [UNCOND] and not clips.training
    arrays, _ = encode_clips(clips, 0, found, [str(i) for i in range(N)], tmp_path / "a.h5", {})
    assert not arrays["training"][1].any() and not arrays["stable"][1].any()
    save_layer(found, tmp_path / "ours", clips, 0, steps=1)
    assert load(tmp_path / "ours/uncond/layer_00/seed-0").metadata["by"] == "others"


@pytest.mark.parametrize(
    "says, message",
    [
        ({"layer": 3}, "layer is 3, not 0"),
        ({"branch": DELTA}, "branch is 'delta', not 'uncond'"),
        ({"site": "mlp"}, "site is 'mlp', not 'residual'"),
        ({"model_identity": "lm:1;text:1;codec:1"}, "model_identity is 'lm:1;text:1;codec:1', not 'lm:0"),
    ],
)
def test_given_dictionaries_of_something_else_are_refused(study, tmp_path, says, message):
    clips, dictionaries, _ = study
    clips = replace(clips, metadata={"model_identity": "lm:0;text:0;codec:0"})
    own = {"layer": 0, "branch": UNCOND, "site": "residual", **clips.metadata}
    given = SimpleNamespace(given=str(tmp_path))
    for seed, one in enumerate(dictionaries[UNCOND]):
        save(one, tmp_path / f"uncond/layer_00/seed-{seed}", own)
    assert len(dictionaries_of(clips, States(clips, 0), SETTINGS, given)[UNCOND]) == 2
    shutil.rmtree(tmp_path / "uncond/layer_00/seed-1")
    save(dictionaries[UNCOND][1], tmp_path / "uncond/layer_00/seed-1", own | says)
    with pytest.raises(InputError, match=f"seed-1/cfg.json: {message}"):
        dictionaries_of(clips, States(clips, 0), SETTINGS, given)


@pytest.mark.parametrize("width", [8, 15, 17])
def test_given_dictionaries_of_another_width_are_refused(study, tmp_path, width):
    clips, *_ = study
    save(drawn(width, 32), tmp_path / "uncond/layer_00/seed-0")
    with pytest.raises(InputError, match=rf"layer_00/seed-0/cfg\.json: d_in is {width}, not {D}"):
        dictionaries_of(clips, States(clips, 0), SETTINGS, SimpleNamespace(given=str(tmp_path)))


def test_its_own_folder_with_another_layer_or_seed_in_it_is_refused(study, tmp_path):
    clips, dictionaries, _ = study
    root = tmp_path / "results/s/features/dictionaries"
    for layer in (0, 1):
        save_layer(dictionaries, root, clips, layer)
    assert len(load_layer(root, 0, own=True)[UNCOND]) == 2
    shutil.rmtree(root / "uncond/layer_00")
    shutil.copytree(root / "uncond/layer_01", root / "uncond/layer_00")
    with pytest.raises(InputError, match=r"written as s/features/dictionaries/uncond/layer_01.*remake it"):
        load_layer(root, 0, own=True)
    with pytest.raises(InputError, match="layer is 1, not 0"):
        load_layer(root, 0)
    shutil.rmtree(root / "uncond/layer_01/seed-0")
    with pytest.raises(InputError, match=r"layer_01 has 1 dictionaries, not the 2 that were.*remake it"):
        load_layer(root, 1, own=True)
    shutil.rmtree(root / "uncond/layer_01")
    with pytest.raises(InputError, match=r"has no uncond/layer_01/seed-\*; remake it"):
        load_layer(root, 1, own=True)


def test_given_dictionaries_have_no_control_of_another_size_though_they_saw_some_clips(study):
    clips, _, folder = study
    given = dictionaries_of(clips, States(clips, 0), {}, SimpleNamespace(given=str(folder)))
    table = measure_layer(States(clips, 0), given, SETTINGS | {"n_latents": 500})
    assert set(table["of"]) == {UNCOND, DELTA}
    assert "frozen decoder" not in set(table["written_by"])


def test_where_uncond_alone_is_recorded_it_has_dictionaries_and_nothing_else_is_encoded(study, tmp_path):
    _, _, folder = study
    known = atoms(D, 24)
    stacks = [
        str(write_stack(tmp_path / f"{i}.h5", superposed(known, STEPS, seed=i)[None], branches=("uncond",)))
        for i in range(N)
    ]
    clips = Clips(stacks, [None] * N, [f"p{i}" for i in range(N)], training=["p0", "p1", "p2"])
    states = States(clips, 0)
    assert states.of == [UNCOND]
    assert list(train_layer(states, SETTINGS | {"steps": 5}, n_seeds=1)) == [UNCOND, GAUSSIAN]
    found = dictionaries_of(clips, states, {}, SimpleNamespace(given=str(folder)))
    assert list(found) == [UNCOND]
    assert set(measure_layer(states, found, SETTINGS)["of"]) == {UNCOND}
    target = tmp_path / "activations.h5"
    arrays, _ = encode_clips(clips, 0, found, [str(i) for i in range(N)], target, {})
    assert {name for name in arrays if name.startswith("mean")} == {"mean_uncond"}
    with Activations(target) as file:
        assert file.branches() == ["uncond"]


def test_too_few_tokens_name_the_layer(study):
    clips, *_ = study
    with pytest.raises(InputError, match=r"layer 0, uncond: features\.n_latents: 500 latents want"):
        train_layer(States(clips, 0), SETTINGS | {"n_latents": 500}, n_seeds=1)


def test_a_layer_beyond_memory_is_trained_on_files_and_measured_on_fewer_clips(study, caplog):
    clips, dictionaries, _ = study
    few = States(clips, 0, memory_gb=8e-5)
    assert "4 of 8 clips fit features.memory_gb" in caplog.text and not few.whole
    assert len(few.seen(UNCOND)) == len(few.held(DELTA)) == 2
    found = train_layer(few, SETTINGS | {"steps": 5}, n_seeds=1)
    assert list(found) == [UNCOND, DELTA, RANDOM_INIT, GAUSSIAN]
    whole = train_layer(States(clips, 0), SETTINGS | {"steps": 5}, n_seeds=1)
    torch.testing.assert_close(found[UNCOND][0].bias, whole[UNCOND][0].bias, atol=0.05, rtol=0)
    table = measure_layer(few, dictionaries, SETTINGS | {"steps": 5})
    assert set(table["clips"]) == {"training clips", "held-out clips"}
