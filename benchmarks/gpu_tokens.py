"""Sections of `gpu.py` on tokens: what the number of rows a call changes, in float16 and in float32."""

from collections.abc import Sequence
from statistics import median
from typing import Any

import torch
from gpu_bench import GUIDANCE, TOP_K, Bench, equal_share, exact
from gpu_deviations import Pair, centred, deviations, over_layers, spread
from gpu_models import OFFSET, offset, texts
from gpu_table import Table

from innerear import ActivationExtractor
from innerear.capture.hooks import capture
from innerear.models import Pass
from innerear.models.composing import guided, positions_of
from innerear.models.sampling import Race


def rows(bench: Bench, table: Table) -> None:
    """Draw from one history in calls of several sizes, then compose a clip among different neighbours."""
    model = bench.model(bench.half)
    most = 16  # clips
    codes = model.generate(texts(most), range(most), bench.sizes.compared).codes
    four, again = (_forced(model, codes, 4, "static") for _ in range(2))
    alone, whole = (_forced(model, codes, clips, "static") for clips in (1, most))
    theirs = _forced(model, codes[:4], 4, "audiocraft")
    with offset(model, OFFSET):
        shifted = _forced(model, codes[:4], 4, "static")
    for what, one, other in (
        ("8 rows, run again", again, four),
        ("2 against 8 rows", alone, four),
        (f"2 against {2 * most} rows", alone, whole),
        (f"8 against {2 * most} rows", four, whole),
        ("8 rows, audiocraft against static", theirs, four),
        (f"8 rows, offset {OFFSET}", shifted, four),
    ):
        _add_flips(bench, table, model, what, one, other)
    _add_neighbours(bench, table, model)


@torch.no_grad()
def _forced(model: Any, codes: torch.Tensor, clips: int, decoder: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Read the clips token by token, so many in a call, as generating would.

    Returns
    -------
    Guided logits [S, B, K, card] on the device, and the last layer's states [S, C, B, D].
    """
    parts = [
        _read(model, part, texts(len(codes))[i * clips : (i + 1) * clips], decoder)
        for i, part in enumerate(codes.split(clips))
    ]
    logits, states = (torch.cat(part, dim=axis) for axis, part in enumerate(zip(*parts, strict=True), 1))
    if not logits.isfinite().all():
        raise ValueError("logits that are not finite")
    return logits, states


def _read(
    model: Any, codes: torch.Tensor, of: Sequence[str], decoder: str
) -> tuple[torch.Tensor, torch.Tensor]:
    """Read clips of one call; see `_forced`."""
    timeline, last = model.timeline(codes.shape[-1] / model.frame_rate), model.n_layers - 1
    sequence = positions_of(codes.to(model.device), timeline.windows[0], timeline, model.card)
    passes = [Pass(1, ("cond", "uncond"))] * timeline.n_steps
    how = {"n_steps": timeline.n_steps, "pre_norm": model.pre_norm, "layers": [last]}
    with (
        capture({"residual": model.modules("residual")}, **how) as recording,
        recording.run(range(len(of)), passes),
        model._autocast(),
        model._reader(
            model._calls(of, {"guidance": GUIDANCE, "two_step": False}), decoder, timeline.n_steps
        ) as read,
    ):
        kept = [guided(read(sequence[..., step : step + 1]), GUIDANCE) for step in range(timeline.n_steps)]
    return torch.stack(kept), recording.all("residual", last).clone()


def _drawn(bench: Bench, logits: torch.Tensor) -> torch.Tensor:
    """Draw from the logits [S, B, K, card] with each clip's own noise, several times: [noises, S, B, K]."""
    chances, drawn = logits.float().softmax(dim=-1), []
    for noise in range(bench.sizes.noises):
        race = Race([1000 * noise + clip for clip in range(logits.shape[1])])
        drawn.append(torch.stack([race.top_k(one, TOP_K)[..., 0] for one in chances]))
    return torch.stack(drawn)


def _add_flips(bench: Bench, table: Table, model: Any, what: str, one: Pair, other: Pair) -> None:
    """Add how many draws differ between two readings of the same history, and their logits and states."""
    clips = min(one[0].shape[1], other[0].shape[1])
    (ours, own_states), (theirs, states) = one, other
    ours, theirs = ours[:, :clips], theirs[:, :clips]
    valid = _composed(len(ours), ours.shape[2]).to(ours.device)
    differ = (_drawn(bench, ours) != _drawn(bench, theirs)).permute(0, 2, 1, 3)[:, :, valid]
    counted = f"{int(differ.sum())} of {differ.numel()} draws, {model.dtype}"
    table.add(f"{what}: draws that differ", float(differ.float().mean()), "share", counted)
    apart = spread(ours.float() - theirs.float()) / spread(centred(theirs))
    table.add(f"{what}: guided logits", apart, "of spread", "rms over tokens")
    found = deviations(own_states[:, :, :clips], states[:, :, :clips])
    for branch, value in found.items():
        table.add(f"{what}: last layer, {branch}", value, "of spread", "rms")


def _composed(n_steps: int, n_codebooks: int) -> torch.Tensor:
    """Return which draws are kept, bool [S, K]: step s draws codebook k of frame s − k, if there is one."""
    frames = torch.arange(n_steps)[:, None] - torch.arange(n_codebooks)
    return (frames >= 0) & (frames <= n_steps - n_codebooks)


def _add_neighbours(bench: Bench, table: Table, model: Any) -> None:
    """Compose one clip at several places among several neighbours in calls of one size, and alone."""
    own, others = (texts(1)[0], 7), [(text, 100 + i) for i, text in enumerate(texts(8)[1:])]
    dummies = [(own[0], 200 + i) for i in range(3)]
    calls = {
        "first, dummies": ([own, *dummies], 0),
        "first, dummies, run again": ([own, *dummies], 0),
        "last, dummies": ([*dummies, own], 3),
        "first, other clips": ([own, *others[:3]], 0),
        "third, other clips": ([*others[3:5], own, others[5]], 2),
        "alone in its call": ([own], 0),
    }
    reference: Any = None
    for what, (clips, place) in calls.items():
        extractor = ActivationExtractor(model, layers=[model.n_layers - 1])
        extractor.generate([text for text, _ in clips], [seed for _, seed in clips], bench.sizes.compared)
        (states,) = extractor.get_activations().values()
        found = extractor.codes[place], states[:, :, place]
        if reference is None:
            reference = found
            continue
        equal = equal_share(found[0], reference[0])
        apart = float((found[1] - reference[1]).abs().max())
        size = f"{2 * len(clips)} rows"
        table.add(f"a clip {what}: tokens equal", equal, "share", f"{size}; first of 8, dummies")
        table.add(f"a clip {what}: states", apart, "largest gap", "0 is bit-identical")


def float32(bench: Bench, table: Table) -> None:
    """Compose the same clips by either decoder, in batches of several sizes, with the offset; reread them."""
    model, duration = bench.model("float32"), bench.sizes.float32
    with exact():
        theirs = model.generate(texts(4), range(4), duration, decoder="audiocraft").codes
        alone = torch.cat([model.generate([texts(4)[i]], [i], duration).codes for i in range(4)])
        table.add("tokens equal to audiocraft's", equal_share(alone, theirs), "share", "one clip in a call")
        for batch in (4, 16):
            codes = model.generate(texts(batch), range(batch), duration).codes[:4]
            equal = equal_share(codes, alone)
            table.add(f"tokens equal, {batch} clips in a call", equal, "share", "one clip in a call")
        with offset(model, OFFSET):
            equal = equal_share(model.generate(texts(4), range(4), duration).codes, alone)
        table.add(f"tokens equal with offset {OFFSET}", equal, "share", "one clip in a call")
        extractor = ActivationExtractor(model)
        extractor.generate(texts(4), range(4), duration)
        captured = extractor.get_activations()
        extractor.replay(texts(4))
        pairs = ((states, captured[name]) for name, states in extractor.get_activations().items())
        for branch, values in over_layers(pairs, bench.device).items():
            where = f"layer {values.index(max(values))}, median {median(values):.1e}"
            table.add(f"replay, {branch}", max(values), "of spread, max", where)
