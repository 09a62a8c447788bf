"""How far states are from states, as a study's checks measure it, and faults that they must not accept."""

from collections.abc import Callable, Iterator, Mapping

import torch

BRANCHES = ("cond", "uncond", "delta")

Pair = tuple[torch.Tensor, torch.Tensor]


def centred(states: torch.Tensor) -> torch.Tensor:
    """Remove each state's mean over units, in float32; [..., D]."""
    states = states.float()
    return states - states.mean(dim=-1, keepdim=True)


def by_branch(states: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return cond, uncond and delta, each [S, B, D] without its mean over units, of states [S, C, B, D]."""
    cond, uncond = centred(states).unbind(1)
    return {"cond": cond, "uncond": uncond, "delta": cond - uncond}


def spread(states: torch.Tensor) -> float:
    """Root mean square over steps, samples and units of states without their means."""
    return float(states.square().mean().sqrt())


def deviations(found: torch.Tensor, true: torch.Tensor) -> dict[str, float]:
    """Return by branch the root mean square of the difference ÷ the true states' spread; [S, C, B, D]."""
    ours, theirs = by_branch(found), by_branch(true)
    return {name: spread(ours[name] - theirs[name]) / spread(theirs[name]) for name in BRANCHES}


def _noisy(states: torch.Tensor) -> torch.Tensor:
    """Add normal noise of a tenth of the spread over units to either branch."""
    generator = torch.Generator(states.device).manual_seed(3)
    noise = torch.randn(states.shape, generator=generator, device=states.device)
    return states + 0.1 * centred(states).square().mean(dim=(0, 2, 3), keepdim=True).sqrt() * noise


#: Deliberate faults: of the states that were captured, what is found and what it is taken for.
FAULTS: Mapping[str, Callable[[torch.Tensor], Pair]] = {
    "cond given for uncond": lambda states: (states[:, [0, 0]], states),
    "another clip's states": lambda states: (states.roll(1, dims=2), states),
    "states a step late": lambda states: (states[:-1], states[1:]),
    "noise of .1 of spread": lambda states: (_noisy(states), states),
}

#: What storing in float16 does, as it is and with the mean removed before.
ROUNDINGS: Mapping[str, Callable[[torch.Tensor], Pair]] = {
    "stored float16, raw": lambda states: (states.half(), states),
    "stored float16, centred": lambda states: (centred(states).half(), states),
}


def over_layers(pairs: Iterator[Pair], device: torch.device) -> dict[str, list[float]]:
    """Return by branch the deviation of each layer, given (found, true) states of each."""
    layers: dict[str, list[float]] = {name: [] for name in BRANCHES}
    for found, true in pairs:
        one = deviations(found.to(device), true.to(device))
        for name, value in one.items():
            layers[name].append(value)
    return layers
