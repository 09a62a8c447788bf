"""What a design detects, by simulation, beside the formula that the dry run prints.

python benchmarks/power.py            docs/power.md; 5 min
python benchmarks/power.py --studies 300 --designs 5x4

A study is templates × labels, with normal prompts of E = 16 dimensions and a random effect of rms f × the
standard deviation of a prompt's mean. It is tested as the workflow does: the cross-validated distance against
labels permuted within templates, and against sign flips of whole templates.
"""

import argparse
import re

import numpy as np
from options import count

from innerear.study.power import EFFECTIVE_DIMENSION, LEVELS, POWER, Power

EFFECTS = np.linspace(0, 1.5, 151)
# Variance between prompts, as a share of that of a clip (the rest is the seed's).
SHARES = (0.3, 0.6, 0.9)
DESIGNS = ((2, 4), (3, 4), (5, 4), (8, 4), (10, 4), (12, 4), (20, 4), (6, 2), (10, 2), (10, 8))
# of a design: all 2^(T − 1) flips of T templates are in memory
MOST_TEMPLATES, MOST_LABELS = 24, 100


def main() -> None:
    """Print Markdown."""
    parser = argparse.ArgumentParser(description="What a design detects.")
    parser.add_argument("--studies", type=count, default=2000)
    parser.add_argument("--permutations", type=count, default=1000)
    parser.add_argument("--designs", type=sizes, nargs="+", default=DESIGNS, help="templates x labels")
    arguments = parser.parse_args()
    print("| templates × labels | test | p ≤ .05: simulated | formula | p ≤ .001: simulated | formula |")
    print("| --- | --- | --- | --- | --- | --- |")
    found = {}
    for design in arguments.designs:
        n_templates, n_labels = design
        power = design_of(n_templates, n_labels, arguments.permutations)
        values = simulated(power, arguments.studies, np.random.default_rng([n_templates, n_labels]))
        found[design] = values
        for test, p in values.items():
            cells = [(detected(p, level), power.detectable(level, flips=test == "flip")) for level in LEVELS]
            shown = " | ".join(f"{said(one)} | {said(other)}" for one, other in cells)
            print(f"| {n_templates} × {n_labels} | {test} | {shown} |", flush=True)
    if {(5, 4), (10, 4)} <= found.keys():
        print_gain(found)
        print_levels(design_of(10, 4, arguments.permutations), -(-arguments.studies // 2))


def sizes(text: str) -> tuple[int, int]:
    """Return the templates and labels of a design that is written as 5x4."""
    numbers = re.fullmatch("([0-9]{1,3})x([0-9]{1,3})", text)
    n_templates, n_labels = map(int, numbers.groups()) if numbers else (0, 0)
    if 2 <= n_templates <= MOST_TEMPLATES and 2 <= n_labels <= MOST_LABELS:
        return n_templates, n_labels
    raise argparse.ArgumentTypeError(
        f"{text!r} is no design: give templates x labels, from 2x2 to {MOST_TEMPLATES}x{MOST_LABELS}"
    )


def design_of(n_templates: int, n_labels: int, n_permutations: int) -> Power:
    """Minimal pairs: each template with each label once."""
    labels = [f"l{label}" for _ in range(n_templates) for label in range(n_labels)]
    templates = [f"t{template}" for template in range(n_templates) for _ in range(n_labels)]
    return Power.of(labels, templates, n_permutations)


def simulated(power: Power, n_studies: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Return p of each test, effect and study, name → [effects, studies].

    With x = noise + f · effect, the distance under each relabeling is |Σ_t x|² up to a constant, a quadratic
    of f: one set of studies serves every effect.
    """
    t, q, e = power.n_templates, power.n_labels, EFFECTIVE_DIMENSION
    relabel, signs = relabelings_of(power, rng)
    p = {name: np.empty((len(EFFECTS), n_studies)) for name in ("permutation", "flip")}
    for study in range(n_studies):
        effect = _centred(rng.normal(size=(q, e)))
        effect /= np.sqrt(np.square(effect).mean())
        noise = _centred(rng.normal(size=(t, q, e)))
        both = np.stack([noise, np.broadcast_to(effect, noise.shape)], axis=-1).astype(np.float32)
        p["permutation"][:, study] = _p((relabel @ both.reshape(t * q, -1)).reshape(-1, q * e, 2))
        p["flip"][:, study] = _p((signs @ both.reshape(t, -1)).reshape(-1, q * e, 2))
    np.maximum(p["permutation"], power.smallest_p, out=p["permutation"])
    return p


def level(
    power: Power, interaction: float, n_seeds: int, n_studies: int, rng: np.random.Generator, *, own: bool
) -> dict[str, float]:
    """Return how often each test finds an effect that is none, but an interaction of emotion and seed.

    Of a clip's variance .49 lies between prompts and .51 between seeds; `interaction` is the standard
    deviation of what a seed does to an emotion, in all templates alike or (`own`) in each by itself.
    """
    t, q, e = power.n_templates, power.n_labels, EFFECTIVE_DIMENSION
    relabel, signs = relabelings_of(power, rng)
    found = {"permutation": 0, "flip": 0}
    for _ in range(n_studies):
        shared = rng.normal(size=(t, q, e) if own else (q, e)) * interaction / np.sqrt(n_seeds)
        mean = _centred(shared + rng.normal(size=(t, q, e)) * np.sqrt(0.49 + 0.51 / n_seeds))
        for name, table in (("permutation", relabel), ("flip", signs)):
            sums = table @ mean.reshape(t * q if name == "permutation" else t, -1).astype(np.float32)
            lengths = np.square(sums.reshape(-1, q * e)).sum(axis=1)
            found[name] += (lengths >= lengths[0] * (1 - 1e-6)).mean() <= LEVELS[0]
    return {name: n / n_studies for name, n in found.items()}


def relabelings_of(power: Power, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw relabelings and sign flips, the observed one first.

    As matrices [(m + 1) Q, T Q] that sum each label's prompts over templates, and signs [m + 1, T].
    """
    t, q, m = power.n_templates, power.n_labels, power.n_permutations
    places = np.tile(np.arange(q), (m + 1, t, 1))
    places[1:] = rng.permuted(places[1:], axis=2)
    relabel = np.zeros((m + 1, q, t, q), np.float32)  # sums over templates of each label's prompts
    np.put_along_axis(relabel, places.transpose(0, 2, 1)[..., None], 1, axis=3)
    relabel = relabel.reshape((m + 1) * q, t * q)
    every = 2 ** (t - 1) <= m + 1
    codes = np.arange(2 ** (t - 1))
    if not every:
        codes = np.append(0, 1 + rng.permutation(len(codes) - 1)[:m])
    return relabel, (1 - 2 * (codes[:, None] >> np.arange(t) & 1)).astype(np.float32)


def _centred(values: np.ndarray) -> np.ndarray:
    """Subtract the mean over labels of [..., Q, E]."""
    return values - values.mean(axis=-2, keepdims=True)


def _p(sums: np.ndarray) -> np.ndarray:
    """p at each effect, of sums [relabelings, values, (noise, effect)] whose first is the observed one."""
    a, c = (np.square(sums[..., i], dtype=float).sum(axis=1) for i in (0, 1))
    b = 2 * (sums[..., 0] * sums[..., 1]).sum(axis=1, dtype=float)
    lengths = a + EFFECTS[:, None] * b + np.square(EFFECTS)[:, None] * c  # [effects, relabelings]
    return (lengths >= lengths[:, :1] * (1 - 1e-6)).mean(axis=1)


def detected(p: np.ndarray, level: float) -> float:
    """Return the effect at which p ≤ level in 80 % of studies, NaN if that does not happen."""
    share = (p <= level).mean(axis=1)
    if share[-1] < POWER:
        return np.nan
    i = int(np.argmax(share >= POWER))
    return float(np.interp(POWER, share[i - 1 : i + 1], EFFECTS[i - 1 : i + 1]))


def print_gain(found: dict[tuple[int, int], dict[str, np.ndarray]]) -> None:
    """Compare 5 templates × 4 seeds with 10 × 2, in standard deviations of a clip."""
    print("\n| variance between prompts | test | 5 templates × 4 seeds | 10 × 2 | ratio |")
    print("| --- | --- | --- | --- | --- |")
    for share in SHARES:
        for test in ("permutation", "flip"):
            for level in LEVELS:
                few, many = (
                    detected(found[design][test], level) * np.sqrt(share + (1 - share) / n_seeds)
                    for design, n_seeds in (((5, 4), 4), ((10, 4), 2))
                )
                cells = f"{said(few)} | {said(many)} | {said(many / few)}"
                print(f"| {share:g} | {test}, p ≤ {level:g} | {cells} |")


def print_levels(power: Power, n_studies: int) -> None:
    """Compare shared seeds with each template's own, where emotion and seed interact and nothing else is."""
    print("\n| sd of the interaction | test | 2 seeds, shared | 4, shared | 2, own | 4, own |")
    print("| --- | --- | --- | --- | --- | --- |")
    for interaction in (0.1, 0.2, 0.4):
        cases = [(n, own) for own in (False, True) for n in (2, 4)]
        rng = np.random.default_rng(int(10 * interaction))
        found = [level(power, interaction, n, n_studies, rng, own=own) for n, own in cases]
        for test in ("permutation", "flip"):
            print(
                f"| {interaction:g} | {test} | {' | '.join(said(one[test]) for one in found)} |", flush=True
            )


def said(value: float) -> str:
    """Return a number with two digits, or a dash."""
    return f"{value:.2f}" if np.isfinite(value) else "–"


if __name__ == "__main__":
    main()
