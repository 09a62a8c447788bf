"""A step on fixed buffers gives audiocraft's tokens, run or replayed as a graph is: by its commands alone."""

import gc
import weakref
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from innerear.capture.hooks import capture
from innerear.interventions import Add, intervene
from innerear.models import decoder, graphs, load_model
from innerear.models.decoder import StaticDecoder
from innerear.models.graphs import CudaGraphs, unrecorded
from innerear.models.refusals import refusals

SITES = ("residual", "self_attention", "cross_attention", "mlp", "input")
EQUAL, MIXED = ["happy music", "calm music"], ["happy music", "a slow sad tune on the piano", None]
GIVEN = torch.randint(16, (2, 4, 7), generator=torch.Generator().manual_seed(0))
LONG = 1.3  # seconds: attention reads 64 places and then 128


class _Tape(TorchDispatchMode):
    """Notes each command with the tensors that it reads and makes, and what it overwrites."""

    def __init__(self):
        super().__init__()
        self.commands, self.before = [], []

    def __torch_dispatch__(self, command, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        given = dict(zip([one.name for one in command._schema.arguments], args, strict=False)) | kwargs
        for one in command._schema.arguments:
            if one.alias_info is not None and one.alias_info.is_write:
                self.before.append((given[one.name], given[one.name].clone()))
        made = command(*args, **kwargs)
        self.commands.append((command, args, kwargs, made))
        return made


class Taped:
    """A CUDA graph in its behaviour: recording computes nothing, and replays know tensors, not Python."""

    def __init__(self):
        self.count = 0

    def __call__(self, step):
        self.count += 1
        with _Tape() as tape:
            logits, states = step()
        for tensor, before in reversed(tape.before):
            tensor.copy_(before)
        for tensor in (logits, *states):
            tensor.fill_(torch.nan)

        def replay():
            for command, args, kwargs, made in tape.commands:
                for kept, new in zip(tree_leaves(made), tree_leaves(command(*args, **kwargs)), strict=True):
                    if kept.data_ptr() != new.data_ptr():
                        kept.copy_(new)
            return logits, states

        return replay


def run(model, texts, *, record=None, decoder="static", seeds=None, duration=LONG, **settings):
    if record is not model._static.record:
        model._static = StaticDecoder(model.network, record)
    given = settings.get("given")
    timeline = model.timeline(duration, given=0 if given is None else given.shape[-1])
    modules = {site: model.modules(site) for site in SITES}
    with capture(modules, n_steps=timeline.n_steps, pre_norm=True) as recording:
        made = model.generate(
            texts,
            range(len(texts)) if seeds is None else seeds,
            duration,
            decoder=decoder,
            observe=recording.run,
            **settings,
        )
    return made, recording


@pytest.fixture
def model(tiny_model):
    """The tiny model, whose decoder a test may change."""
    before = tiny_model._static
    tiny_model._static = StaticDecoder(tiny_model.network, None)
    yield tiny_model
    tiny_model._static = before


def assert_states(found, expected, exact):
    for place in expected.places:
        for own, other in zip(found.all(*place), expected.all(*place), strict=True):
            assert torch.equal(own, other) if exact else torch.allclose(own, other, rtol=0, atol=1e-5), place


@pytest.mark.parametrize(
    ("texts", "settings"),
    [
        (EQUAL, {}),
        (MIXED, {}),
        (MIXED, {"two_step": True}),
        (EQUAL, {"guidance": None}),
        (EQUAL, {"top_p": 0.7}),
        (EQUAL, {"given": GIVEN}),
        ([None], {"use_sampling": False}),
    ],
)
def test_buffers_and_replays_give_audiocrafts_tokens_and_states(model, texts, settings):
    theirs, expected = run(model, texts, decoder="audiocraft", **settings)
    ours, found = run(model, texts, record=unrecorded, **settings)
    assert torch.equal(ours.codes, theirs.codes)
    assert_states(found, expected, exact=False)
    graph = Taped()
    replayed, again = run(model, texts, record=graph, **settings)
    assert graph.count == 2 * (2 if "two_step" in settings else 1)
    assert torch.equal(replayed.codes, theirs.codes)
    assert_states(again, found, exact=True)


def test_graphs_are_recorded_once_for_a_number_of_rows(model):
    graph, texts = Taped(), [*EQUAL, *EQUAL, "happy music"]
    expected, states = run(model, texts, decoder="audiocraft")
    made, found = run(model, texts, record=graph, rows=2)
    assert graph.count == 2
    assert made.rows == (2, 2, 2, 2, 2)
    assert torch.equal(made.codes, expected.codes)
    assert_states(found, states, exact=False)
    run(model, texts[:2], record=graph)
    assert graph.count == 2
    run(model, texts[:3], record=graph)
    assert graph.count == 4


def test_an_overflow_does_not_reach_the_next_run(model):
    expected, _ = run(model, EQUAL, record=unrecorded)
    record = model._static.record
    with torch.inference_mode():
        for layer in model._static._kept[1][0].layers:
            layer.keys.fill_(torch.nan)
            layer.values.fill_(torch.nan)
    made, _ = run(model, EQUAL, record=record)
    assert torch.equal(made.codes, expected.codes)


def test_as_many_rows_of_another_number_of_clips_are_recorded_anew(model):
    graph = Taped()
    run(model, EQUAL, record=graph)  # in both branches
    made, _ = run(model, [*EQUAL, *EQUAL], record=graph, guidance=None)
    assert graph.count == 4
    expected, _ = run(model, [*EQUAL, *EQUAL], decoder="audiocraft", guidance=None)
    assert torch.equal(made.codes, expected.codes)


def test_new_weights_and_new_hooks_are_recorded_anew(tiny_checkpoint):
    model: Any = load_model(tiny_checkpoint, device="cpu")
    graph = Taped()
    run(model, EQUAL, record=graph)
    with torch.no_grad():
        model.network.out_norm.weight.mul_(0.5)
    made, _ = run(model, EQUAL, record=graph)
    assert graph.count == 4
    assert torch.equal(made.codes, model.generate(EQUAL, [0, 1], LONG, decoder="audiocraft").codes)
    model.generate(EQUAL, [0, 1], LONG)
    assert graph.count == 6


def test_with_fixed_rows_a_clip_is_the_same_beside_any_neighbour(model):
    own = EQUAL[:1]
    alone, first = run(model, own, record=Taped(), seeds=[7], rows=2)
    beside, second = run(model, [*own, "calm music"], record=Taped(), seeds=[7, 8], rows=2)
    last, third = run(model, ["a slow sad tune on the piano", *own], record=Taped(), seeds=[9, 7], rows=2)
    for codes, recording, row in ((beside.codes[0], second, 0), (last.codes[1], third, 1)):
        assert torch.equal(codes, alone.codes[0])
        for place in first.places:
            torch.testing.assert_close(
                recording.all(*place)[:, :, row], first.all(*place)[:, :, 0], rtol=0, atol=1e-5
            )
    assert torch.equal(second.all("residual", 2)[:, :, 0], first.all("residual", 2)[:, :, 0])
    assert {first.all(*place).shape[2] for place in first.places} == {1}


def test_edited_states_are_edited_at_every_step_and_not_recorded(model):
    graph = Taped()
    run(model, EQUAL, record=graph)
    with intervene(model, Add(torch.linspace(-1, 1, 32), 2.0, layers=1)):
        theirs, expected = run(model, EQUAL, decoder="audiocraft")
        ours, found = run(model, EQUAL, record=graph)
    assert graph.count == 2
    assert torch.equal(ours.codes, theirs.codes)
    assert_states(found, expected, exact=False)


@pytest.fixture
def alive(monkeypatch):
    """How many sets of caches are alive as each is made, without Python's collector."""
    made, counts = [], []

    class Counted(decoder._Call):
        def __init__(self, *how):
            counts.append(sum(one() is not None for one in made))
            made.append(weakref.ref(self))
            super().__init__(*how)

    monkeypatch.setattr(decoder, "_Call", Counted)
    gc.disable()
    yield counts
    gc.enable()


@pytest.mark.parametrize("edited", [False, True])
def test_caches_of_unrecorded_steps_are_freed_before_others_are_made(model, alive, edited):
    with intervene(model, Add(torch.zeros(32), 1.0, layers=1)) if edited else nullcontext():
        for n_clips in (1, 2, 1):
            run(model, EQUAL[:n_clips], record=unrecorded, duration=0.2)
    assert alive == [0, 0, 0]


@pytest.mark.parametrize("record", [None, unrecorded])
def test_a_window_s_caches_are_freed_before_others_are_made(model, alive, monkeypatch, record):
    monkeypatch.setattr(model, "max_duration", LONG)
    run(model, EQUAL, record=record, duration=2 * LONG)
    assert alive
    assert not any(alive)


def test_a_failure_forgets_buffers(model):
    run(model, EQUAL, record=unrecorded)
    assert model._static._kept[1]
    with pytest.raises(ZeroDivisionError):
        model.generate(EQUAL, [0, 1], 0.1, progress=lambda done, total: 1 // 0)
    assert model._static._kept == (None, [])


def test_half_precision_stays_near(tiny_checkpoint):
    model: Any = load_model(tiny_checkpoint, device="cpu")
    _, expected = run(model, MIXED, use_sampling=False, duration=0.1)
    model.network.transformer.half()
    assert any("precision" in one for one in refusals(model.network))
    model._chosen_decoder = lambda asked: asked
    _, found = run(model, MIXED, record=Taped(), use_sampling=False, duration=0.1)
    assert found.all("mlp", 1).dtype == torch.float16
    for place in (("residual", 2), ("mlp", 1)):
        true = expected.all(*place)[0]
        apart = (found.all(*place)[0].float() - true).square().mean().sqrt() / true.std()
        assert apart < 5e-3


@contextmanager
def broken_recording(graph, stream, capture_error_mode):
    """As torch's, whose end fails where the step has failed, and which leaves its stream behind."""
    try:
        yield
    finally:
        raise RuntimeError("capture was invalidated")


@pytest.fixture
def streams(monkeypatch):
    """The streams that are set; there is no CUDA."""
    found = []
    fakes = {
        "CUDAGraph": object,
        "Stream": lambda device: "side",
        "current_device": lambda: 0,
        "current_stream": lambda: "own",
        "set_stream": found.append,
        "graph": broken_recording,
    }
    for name, value in fakes.items():
        monkeypatch.setattr(torch.cuda, name, value)
    graphs._side.cache_clear()
    yield found
    graphs._side.cache_clear()


def test_after_a_graph_that_cannot_be_recorded_steps_run_as_they_are(model, streams, capsys):
    record = CudaGraphs()
    made, _ = run(model, EQUAL, record=record)
    run(model, EQUAL[:1], record=record)
    assert torch.equal(made.codes, run(model, EQUAL)[0].codes)
    assert streams == ["own"]  # set back after the only try
    assert capsys.readouterr().err.count("capture was invalidated") == 1


def test_the_reason_is_the_step_s_own(streams, capsys):
    def step():
        raise torch.OutOfMemoryError("CUDA out of memory.\nmore")

    assert CudaGraphs()(step) is step
    assert capsys.readouterr().err.endswith("same tokens: CUDA out of memory.\n")


@pytest.mark.parametrize("off", [0.0, 1.0])
def test_a_replay_that_gives_other_logits_is_not_used(streams, monkeypatch, capsys, off):
    logits = torch.arange(12.0).view(2, 2, 3)
    monkeypatch.setattr(torch.cuda, "graph", lambda *how, **more: nullcontext())
    monkeypatch.setattr(torch.cuda, "CUDAGraph", lambda: SimpleNamespace(replay=lambda: made.add_(off)))
    made, runs = logits.clone(), []

    def step():
        runs.append(0)
        return made if len(runs) == 1 else logits, []

    assert (CudaGraphs()(step) is step) == bool(off)
    assert ("a replay gave other logits" in capsys.readouterr().err) == bool(off)
