"""Edits change what they say and nothing else, on every decoder, and leave nothing behind."""

import numpy as np
import pytest
import torch
from checkpoints import write_checkpoint

from innerear import ActivationExtractor, intervene
from innerear.errors import InputError
from innerear.interventions import Add, Direction, ProjectOut, Replace, orthonormal
from innerear.models import load_model, witness_of
from innerear.models.refusals import refusals

TEXTS = ["happy music", "calm music"]
D, SECONDS = 32, 0.3
RNG = np.random.default_rng(0)
VECTOR = RNG.normal(size=D).astype(np.float32) * 3
SITES = ("residual", "self_attention", "cross_attention", "mlp", "input")


@pytest.fixture
def extractor(tiny_model):
    return ActivationExtractor(tiny_model, sites=SITES)


def made(extractor, edits=(), texts=TEXTS, **settings):
    """Codes and states of an edited generation."""
    with intervene(extractor, edits):
        extractor.generate(texts, seeds=range(len(texts)), duration=SECONDS, **settings)
    return extractor.codes, extractor.get_activations()


def read(extractor, codes, edits=()):
    """States [S, C, B, D] and likelihoods of an edited replay."""
    with intervene(extractor, edits):
        nll = extractor.replay(TEXTS, codes)
    return extractor.get_activations(), nll


@pytest.mark.parametrize("decoder", ["static", "audiocraft"])
@pytest.mark.parametrize(
    "edit",
    [
        Add(VECTOR, 0.0),
        Add(VECTOR, 1.0, schedule=np.zeros(18)),
        Replace(lambda states: states, layers=[0, 2]),
        Replace(lambda states: states.clone(), site="mlp", branch="cond"),
    ],
    ids=["no dose", "schedule of 0", "same states", "same output of mlp"],
)
def test_an_edit_that_changes_nothing_leaves_every_token(tiny_model, decoder, edit):
    plain = tiny_model.generate(TEXTS, [0, 1], SECONDS, decoder=decoder)
    with intervene(tiny_model, edit):
        edited = tiny_model.generate(TEXTS, [0, 1], SECONDS, decoder=decoder)
    assert edited.decoder == decoder
    assert torch.equal(edited.codes, plain.codes)
    assert torch.equal(edited.audio, plain.audio)


def test_own_states_in_their_own_place_leave_every_token(extractor):
    codes, states = made(extractor)
    again, _ = made(extractor, Replace(states["layer_1"].clone(), layers=1))
    assert torch.equal(again, codes)


def test_an_edited_row_leaves_its_neighbours_alone(extractor):
    codes, states = made(extractor)
    for edit in (
        Add(VECTOR, [0.0, 5.0], layers=1),
        Add(VECTOR, 5.0, layers=1, samples=[1]),
        ProjectOut(orthonormal(RNG.normal(size=(9, D))), layers=0, samples=[1]),
    ):
        edited, of_edited = made(extractor, edit)
        assert torch.equal(edited[0], codes[0])
        assert not torch.equal(edited[1], codes[1])
        assert torch.equal(of_edited["layer_2"][:, :, 0], states["layer_2"][:, :, 0])


def test_both_decoders_and_a_replay_edit_alike(tiny_model):
    edits = [
        Add(VECTOR, [1.0, -2.0], layers=0, branch="cond"),
        ProjectOut(orthonormal(RNG.normal(size=(2, D))), mean=VECTOR, layers=1, steps=(4, 12)),
        Add(VECTOR, 2.0, site="cross_attention", layers=2, schedule=np.linspace(0, 1, 18)),
        Add(VECTOR, 0.5, site="input"),
    ]
    found = {}
    for decoder in ("static", "audiocraft"):
        extractor = ActivationExtractor(tiny_model, sites=SITES)
        # The extractor leaves the decoder open; here it is chosen.
        with intervene(tiny_model, edits), extractor._capture(tiny_model.timeline(SECONDS)) as recording:
            run = tiny_model.generate(TEXTS, [0, 1], SECONDS, decoder=decoder, observe=recording.run)
        found[decoder] = run.codes, recording
        assert run.decoder == decoder
    codes, static = found["static"]
    assert torch.equal(codes, found["audiocraft"][0])
    extractor = ActivationExtractor(tiny_model, sites=SITES)
    states, _ = read(extractor, codes, edits)
    for site, layer in static.places:
        own = static.all(site, layer)
        assert torch.equal(own, found["audiocraft"][1].all(site, layer))
        again = states[f"layer_{layer}" if site == "residual" else f"{site}/layer_{layer}"]
        assert torch.allclose(own, again, atol=1e-4)


def test_a_sum_is_added_where_it_is_said_and_recorded(extractor):
    codes, _ = made(extractor)
    states, _ = read(extractor, codes, Add(VECTOR, 2.0, layers=1, branch="uncond", steps=(5, 9)))
    difference = states["layer_1"] - read(extractor, codes)[0]["layer_1"]
    expected = torch.zeros_like(difference)
    expected[5:9, 1] = torch.from_numpy(2 * (VECTOR - VECTOR.mean()))  # recorded without the mean over units
    assert torch.allclose(difference, expected, atol=1e-5)


def test_what_is_projected_out_is_the_mean(extractor):
    codes, _ = made(extractor)
    rows = RNG.normal(size=(3, D))
    basis = orthonormal(rows - rows.mean(axis=1, keepdims=True))
    mean = RNG.normal(size=D).astype(np.float32)
    states, _ = read(extractor, codes, ProjectOut(basis, mean, layers=1))
    along = torch.from_numpy(mean) @ basis.T
    assert torch.allclose(states["layer_1"] @ basis.T, along.expand(18, 2, 2, 3), atol=1e-4)
    plain = read(extractor, codes)[0]["layer_1"]
    rest = torch.eye(D) - basis.T @ basis
    assert torch.allclose(states["layer_1"] @ rest, plain @ rest, atol=1e-4)


def test_random_subspaces_may_differ_by_sample(extractor):
    codes, _ = made(extractor)
    bases = torch.stack([orthonormal(np.eye(D)[[i]] - 1 / D) for i in range(2)])
    states, _ = read(extractor, codes, ProjectOut(bases, layers=2))
    along = torch.einsum("scbd,bkd->scbk", states["layer_2"], bases)
    assert along.abs().max() < 1e-4


def test_base_and_delta_can_be_replaced_together(extractor):
    codes, _ = made(extractor)
    seen = []

    def halved(states):  # [C, n, steps, D]
        seen.append(states.shape)
        cond, uncond = states
        return torch.stack([uncond + (cond - uncond) / 2, uncond])

    plain, _ = read(extractor, codes)
    states, _ = read(extractor, codes, Replace(halved, layers=1))
    was, now = (one["layer_1"] for one in (plain, states))
    assert torch.allclose(now[:, 0] - now[:, 1], (was[:, 0] - was[:, 1]) / 2, atol=1e-5)
    assert seen == [(2, 2, 18, D)]


def test_edits_of_one_place_follow_each_other(extractor):
    codes, _ = made(extractor)
    both = [Add(VECTOR, 3.0, layers=1), Replace(lambda states: states * 0, layers=1)]
    first, _ = read(extractor, codes, both)
    assert first["layer_1"].abs().max() < 1e-5
    states, _ = read(extractor, codes, both[::-1])
    assert torch.allclose(
        states["layer_1"][0, 0, 0], torch.from_numpy(3 * (VECTOR - VECTOR.mean())), atol=1e-5
    )
    with intervene(extractor, both[1]):
        nested, _ = read(extractor, codes, both[0])
    assert torch.allclose(nested["layer_1"], states["layer_1"])


@pytest.mark.parametrize("settings", [{"two_step_cfg": True}, {"guidance": None}])
def test_branches_that_run_apart_or_alone(tiny_model, settings):
    extractor = ActivationExtractor(tiny_model, layers=[1])
    how = {"two_step": True} if "two_step_cfg" in settings else settings
    _, plain = made(extractor, **how)
    _, states = made(extractor, Add(VECTOR, 1.0, layers=1, branch="cond", steps=(0, 1)), **how)
    first = (states["layer_1"] - plain["layer_1"])[0]
    assert first[0].abs().max() > 0.1
    if len(first) > 1:
        assert not first[1].any()
    if how == {"guidance": None}:
        with pytest.raises(InputError, match="branch: uncond does not run here, only cond"):
            made(extractor, Add(VECTOR, layers=1, branch="uncond"), **how)


def test_windows_count_their_steps_on(tmp_path):
    model = load_model(write_checkpoint(tmp_path / "model", segment=0.5), device="cpu")
    extractor = ActivationExtractor(model, layers=[1])
    extractor.generate(TEXTS, seeds=[0, 1], duration=0.9)
    codes, timeline = extractor.codes, extractor.timeline
    assert len(timeline.windows) > 1
    stored = torch.full((timeline.n_steps, D), 0.0)
    stored[-2:] = torch.from_numpy(VECTOR - VECTOR.mean())
    with intervene(model, Replace(stored, layers=1, steps=(timeline.n_steps - 2, timeline.n_steps))):
        extractor.replay(TEXTS, codes, timeline)
    last = extractor.get_activations()["layer_1"][-3:, 0, 0]
    assert torch.allclose(last[1:], stored[-2:], atol=1e-5)
    assert not torch.allclose(last[0], stored[-1], atol=1e-1)


def test_prepended_text_is_no_step(tmp_path):
    model = load_model(write_checkpoint(tmp_path / "model", prepend=True), device="cpu")
    extractor = ActivationExtractor(model, layers=[0])
    extractor.generate(TEXTS, seeds=[0, 1], duration=SECONDS)
    plain = extractor.get_activations()["layer_0"]
    codes = extractor.codes
    with intervene(model, Add(VECTOR, 1.0, layers=0)):
        extractor.replay(TEXTS, codes)
    difference = extractor.get_activations()["layer_0"] - plain
    assert torch.allclose(
        difference, torch.from_numpy(VECTOR - VECTOR.mean()).expand_as(difference), atol=1e-4
    )


def test_the_other_implementation_edits_alike(tiny_model):
    edit = Add(VECTOR, 1.0, layers=1)
    witness = witness_of(tiny_model)
    codes = tiny_model.generate(TEXTS, [0, 1], SECONDS).codes
    both = []
    for model in (tiny_model, witness):
        with intervene(model, edit):
            both.append(model.replay(codes, TEXTS, model.timeline(SECONDS)))
    assert torch.allclose(*both, atol=1e-4)


def test_rows_that_only_fill_a_call_up_are_left_alone(tiny_model):
    with intervene(tiny_model, Add(VECTOR, [2.0, -2.0], layers=1)):
        alone = tiny_model.generate(TEXTS, [0, 1], SECONDS)
        filled = tiny_model.generate(TEXTS, [0, 1], SECONDS, rows=3)
    assert torch.equal(alone.codes, filled.codes)


def hooks_of(model):
    return [
        hook
        for module in model.network.modules()
        for hook in [*module._forward_hooks.values(), *module._forward_pre_hooks.values()]
    ]


def fail(states):
    raise RuntimeError("no states today")


@pytest.mark.parametrize(
    ("edits", "error"),
    [
        (lambda: Replace(fail, layers=1), RuntimeError),
        (lambda: Add(np.ones(7), layers=1), InputError),
        (lambda: [Add(VECTOR, layers=0), Add(VECTOR, layers=99)], InputError),
        (lambda: [Add(VECTOR, layers=0), "no edit"], InputError),
    ],
)
def test_nothing_is_left_behind_whatever_fails(tiny_model, edits, error):
    plain = tiny_model.generate(TEXTS, [0, 1], SECONDS).codes
    with pytest.raises(error), intervene(tiny_model, edits()):
        tiny_model.generate(TEXTS, [0, 1], SECONDS)
    assert hooks_of(tiny_model) == []
    assert tiny_model.observers == []
    assert refusals(tiny_model.network) == []
    again = tiny_model.generate(TEXTS, [0, 1], SECONDS)
    assert torch.equal(again.codes, plain)


def test_samples_are_those_of_the_call_in_whatever_runs_it_is_made(extractor):
    texts = [*TEXTS, "a much longer text than the two others have"]
    codes, _ = made(extractor, texts=texts)
    for edit in (Add(VECTOR, 5.0, layers=1, samples=np.array([2])), Add(VECTOR, [0.0, 0.0, 5.0], layers=1)):
        edited, _ = made(extractor, edit, texts=texts)
        assert [torch.equal(*both) for both in zip(codes, edited, strict=True)] == [True, True, False]


def test_a_run_behind_the_models_back_is_refused(tiny_model):
    with intervene(tiny_model, Add(VECTOR, layers=1)), pytest.raises(InputError, match="outside of generate"):
        tiny_model.musicgen.generate(TEXTS, progress=False)
    assert hooks_of(tiny_model) == []


@pytest.mark.parametrize(
    ("edits", "message"),
    [
        (lambda: Add(VECTOR, branch="delta"), "branch: 'delta' is not allowed; use both, cond, uncond"),
        (lambda: Add(VECTOR, site="head"), "site: the model has no site 'head'"),
        (lambda: Add(VECTOR, layers=3), r"layers: \[3\] cannot be captured; the model has the layers 0 to 2"),
        (lambda: Add(VECTOR, steps=(3, 3)), r"steps: \(3, 3\) is no"),
        (lambda: Add(VECTOR, steps=(50, 60)), "lie past the clip's 18 steps"),
        (lambda: Add(VECTOR, samples=[-1]), "samples: -1"),
        (lambda: Add(VECTOR, samples=[2]), "samples: 2 is not there; the call has the samples 0 to 1"),
        (lambda: ProjectOut(np.eye(1, D), samples=[0, 5]), "samples: 5 is not there"),
        (lambda: Add(VECTOR, samples=[]), r"samples: \[\] is no list of samples; give their numbers"),
        (lambda: Add(VECTOR, samples=0), r"samples: 0 is no list of samples; .*such as \[0\]"),
        (lambda: Add(VECTOR, samples="01"), "samples: '01' is no list of samples"),
        (
            lambda: Add(VECTOR, [1.0, 2.0, 3.0]),
            "alpha: values of 3 samples, but the call has sample 1 as its",
        ),
        (lambda: Add(np.ones((3, D))), "direction: values of 3 samples"),
        (lambda: ProjectOut(np.eye(1, D)[None].repeat(3, 0)), "basis: values of 3 samples"),
        (lambda: Replace(np.ones((18, 3, D))), "by: values of 3 samples"),
        (
            lambda: Replace(lambda states: states * np.nan, layers=1),
            "layer 1, site residual: edited states hold",
        ),
        (
            lambda: Replace(lambda states: states / 0, layers=1, steps=(3, 4)),
            "NaN or infinity from step 3 on",
        ),
        (lambda: Add(VECTOR * 1e30, 1e30, layers=0), "layer 0, site residual: edited states hold NaN"),
        (lambda: Add(VECTOR, [1.0]), "alpha: values of 1 samples, but the call has sample 1"),
        (lambda: Add(VECTOR, "much"), "alpha: a str is no array of numbers"),
        (lambda: Add([np.nan] * D), "direction: holds NaN or infinity"),
        (lambda: Add(np.ones((2, 2, D))), r"direction: an array of shape \(2, 2, 32\)"),
        (lambda: Add(np.ones(31)), "does not fit 32 dimensions of the model"),
        (lambda: Add(VECTOR, schedule=[1.0]), r"schedule: an array of shape \(1,\) does not fit 18 steps"),
        (lambda: ProjectOut(np.ones((2, D))), "basis: its rows are not orthonormal"),
        (lambda: Replace(np.ones((4, D))), "does not fit 18 steps of the clip and 32"),
        (lambda: Replace(np.ones((18, 3, 2, D))), "3 branches; give cond and uncond"),
        (lambda: Replace(lambda states: states[0]), "the function returned"),
        (lambda: Replace(lambda states: None), "the function returned: a NoneType is no array"),
        (lambda: Replace(lambda states: states * 1j), "the function returned: holds complex numbers"),
        (lambda: Add(VECTOR + 1j), "direction: holds complex numbers; states are real"),
        (lambda: Add(VECTOR, 1j), "alpha: holds complex numbers"),
        (lambda: Add(VECTOR, [1, 2j]), "alpha: holds complex numbers"),
        (lambda: ProjectOut(np.eye(1, D) + 0j), "basis: holds complex numbers"),
        (lambda: ProjectOut(np.zeros((0, D))), r"basis: an array of shape \(0, 32\) has no rows"),
        (lambda: ProjectOut(np.zeros((2, 0, D))), r"basis: an array of shape \(2, 0, 32\) has no rows"),
        (lambda: None, "edits: a NoneType is none; give Add, ProjectOut or Replace"),
        (lambda: Add, "edits: a .* is none; give Add"),
        (lambda: [3], "edits: a int is none; give Add, ProjectOut or Replace"),
    ],
)
def test_bad_edits_are_refused_in_a_line(tiny_model, edits, message):
    with pytest.raises(InputError, match=message) as error, intervene(tiny_model, edits()):
        tiny_model.generate(TEXTS, [0, 1], SECONDS)
    assert "\n" not in str(error.value)
    assert hooks_of(tiny_model) == []


@pytest.mark.parametrize("vectors", [np.zeros((0, D)), np.zeros((3, 0)), [], [[]], VECTOR])
def test_no_vectors_span_nothing(vectors):
    with pytest.raises(InputError, match=r"are not \[m, D\] with m ≥ 1"):
        orthonormal(vectors)


def test_a_function_may_return_any_array(extractor):
    codes, _ = made(extractor)
    for of in (lambda states: states.numpy() * 0, lambda states: (states * 0).tolist()):
        states, _ = read(extractor, codes, Replace(of, layers=1))
        assert states["layer_1"].abs().max() < 1e-5


def test_what_is_no_model_is_refused():
    with pytest.raises(InputError, match="a dict is no model"), intervene({}, []):
        pass


def test_a_direction_brings_its_layer_along(tiny_model):
    direction = Direction(VECTOR, layer=2)
    edit = Add(direction, 0.5)
    assert (edit.layers, edit.site) == (2, "residual")
    assert Add(direction, layers=[0, 1]).layers == [0, 1]
