"""The replay check fails on what is recorded wrongly, in the released models' regime and in float16 too."""

from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from offset_twin import write_offset_twin
from sealed import edited, listed

from innerear.capture.checks import deviation, spread
from innerear.capture.generation import generate_samples
from innerear.capture.verification import verify_samples
from innerear.models import load_model
from innerear.models.transformers import witness_of
from innerear.stacks import Stack
from innerear.study.prompts import Prompt, Sample

SAMPLES = [Sample(Prompt(f"p-{word}", f"{word} music", "p", word), 3) for word in ("happy", "sad")]
GENERATION = {"duration": 1.0, "guidance": 3.0}
LAYER = "residual/layer_01"


@contextmanager
def rounded(model, dtype):
    """Let a float32 model compute as a float16 one does at worst: each block's output is rounded."""
    if dtype == torch.float32:
        yield
        return
    hooks = [
        block.register_forward_hook(lambda module, inputs, output: output.half().float())
        for block in model.modules("residual")
    ]
    model.dtype = dtype
    try:
        yield
    finally:
        model.dtype = torch.float32
        for hook in hooks:
            hook.remove()


@pytest.fixture(scope="module", params=[0.0, -9.8], ids=["plain", "constant"])
def model(request, tiny_checkpoint, tmp_path_factory):
    """The tiny model, and its twin with a constant in all units."""
    twin = tmp_path_factory.mktemp("twin") / "tiny"
    return load_model(write_offset_twin(tiny_checkpoint, twin, request.param), device="cpu")


@pytest.fixture(scope="module", params=[torch.float32, torch.float16], ids=["float32", "float16"])
def study(request, model, tmp_path_factory):
    """A model of a dtype, the index of two of its clips, and the states of their layer 1."""
    folder = tmp_path_factory.mktemp("study")
    paths = [folder / f"{i}.h5" for i in range(len(SAMPLES))]
    with rounded(model, request.param):
        for sample, path in zip(SAMPLES, paths, strict=True):
            capture = {"layers": "all", "dtype": "float16"}
            audio = [path.with_suffix(".wav")]
            generate_samples(
                model, [sample], [path], audio, study="s", capture=capture, generation=GENERATION
            )
    states = []
    for path in paths:
        with Stack(path) as stack:
            states.append(stack.read(1))
    return model, request.param, listed(pd.DataFrame({"stack": map(str, paths)})), states


def verified(study, witness=None):
    model, dtype, index, _ = study
    with rounded(model, dtype):
        return verify_samples(index, model, GENERATION, witness)


def test_what_is_recorded_rightly_passes(study):
    checks = verified(study)
    assert checks["pass"].all(), checks
    room = checks["tolerance"] / checks["value"]
    assert room[checks["check"].isin(["replay_cond", "replay_uncond"])].min() > 1.5


def noisy(states, other):
    noise = np.random.default_rng(0).normal(size=states.shape)
    return states + 0.1 * spread(states) * noise


def test_a_second_implementation_confirms_the_record(study):
    checks = verified(study, witness_of(study[0]))
    of_witness = checks[checks["check"].str.startswith("witness")]
    assert set(of_witness["check"]) == {f"witness_{part}" for part in ("cond", "uncond", "delta", "level")}
    assert checks["pass"].all(), checks


FAULTS = {
    "wrong branch": lambda states, other: states[::-1],
    "text for none": lambda states, other: np.stack([states[1], states[1]]),
    "wrong clip": lambda states, other: other,
    "a step late": lambda states, other: np.roll(states, 1, axis=1),
    "one step repeated": lambda states, other: np.concatenate(
        [states[:, :20], states[:, 19:20], states[:, 21:]], axis=1
    ),
    "noise of a tenth of the spread": noisy,
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_recorded_wrongly_fails(study, fault):
    model, dtype, index, states = study
    path = Path(index["stack"][0])
    whole = path.read_bytes()
    with edited(path) as file:
        file[LAYER][...] = FAULTS[fault](*states)
    try:
        checks = verified((model, dtype, listed(index), states), witness_of(model))
    finally:
        path.write_bytes(whole)
    failed = checks[~checks["pass"]]
    assert set(failed["sample"]) == {SAMPLES[0].id}
    assert set(failed["where"]) == {"residual, layer 1"}
    for check in ("replay_cond", "witness_cond"):
        assert check in set(failed["check"])
    # Far from what rounding gives: a tolerance three times as large would find it too.
    cond = failed.set_index("check").loc["replay_cond"]
    assert cond["value"] > 3 * cond["tolerance"]


@pytest.mark.parametrize(
    ("composed", "replayed", "stored", "tolerance"),
    [
        ("float32", "float32", "float32", 1e-4),
        ("float32", "float32", "float16", 1e-3),
        ("float16", "float16", "float16", 1e-2),
        ("float16", "float32", "float16", 5e-2),
    ],
)
def test_replay_fails_just_above_the_tolerance_and_passes_just_below(
    tiny_model, tmp_path, monkeypatch, composed, replayed, stored, tolerance
):
    path, capture = tmp_path / "0.h5", {"layers": [1], "dtype": stored}
    options = {"study": "s", "capture": capture, "generation": GENERATION}
    generate_samples(tiny_model, SAMPLES[:1], [path], [tmp_path / "0.wav"], **options)
    with Stack(path) as stack:
        right = stack.read(1).astype(float)
    noise = np.random.default_rng(0).normal(size=right[0, 20].shape)
    noise *= spread(right[0]) / np.sqrt((noise**2).mean())
    monkeypatch.setattr(tiny_model, "dtype", getattr(torch, replayed))
    for share, expected in ((0.6, True), (1.5, False)):
        with edited(path) as file:
            file.attrs["dtype"] = composed
            file[LAYER][0, 20] = right[0, 20] + share * tolerance * noise
        checks = verify_samples(listed(pd.DataFrame({"stack": [str(path)]})), tiny_model, GENERATION)
        cond = checks.set_index("check").loc["replay_cond"]
        assert cond["pass"] == expected
        # A float16 stack adds its own rounding, 4e-4 of the spread.
        assert cond["value"] == pytest.approx(share * tolerance, rel=0.35)


def test_a_clip_is_made_again_with_as_many_rows_a_call(tiny_model, tmp_path, monkeypatch):
    """In float16 on a GPU, calls of other sizes round otherwise, and draws flip."""
    path, options = tmp_path / "0.h5", {"study": "s", "capture": {"layers": [1], "dtype": "float16"}}
    options |= {"generation": GENERATION, "rows": 3}
    generate_samples(tiny_model, SAMPLES[:1], [path], [tmp_path / "0.wav"], **options)
    generate, sizes = tiny_model.generate, []

    def observed(*arguments, **how):
        made = generate(*arguments, **how)
        sizes.append(made.rows)
        return made

    monkeypatch.setattr(tiny_model, "generate", observed)
    checks = verify_samples(listed(pd.DataFrame({"stack": [str(path)]})), tiny_model, GENERATION)
    assert checks.set_index("check").loc["regenerate", "pass"]
    assert sizes == [(3,)]


def test_a_deviation_ignores_what_all_units_share():
    rng = np.random.default_rng(0)
    states = rng.normal(size=(5, 64))
    wrong = states + 0.1 * rng.normal(size=states.shape)
    assert deviation(wrong + 70, states + 70) == pytest.approx(deviation(wrong, states), rel=1e-4)
    assert deviation(wrong, states) == pytest.approx(0.1, rel=0.3)


def test_a_deviation_is_that_of_the_worst_step():
    states = np.random.default_rng(0).normal(size=(400, 64))
    wrong = states.copy()
    wrong[7] = states[8]
    assert deviation(wrong, states) > 1
