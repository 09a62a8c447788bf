"""What a design detects, by simulation, beside the formula that the dry run prints.

python benchmarks/power.py            docs/power.md; 2 min
python benchmarks/power.py --studies 300 --designs 5x4

A study is templates × labels, with normal prompts of E = 16 dimensions and a random effect of rms f × the
standard deviation of a prompt's mean. It is tested as the workflow does: the cross-validated distance against
labels permuted within templates, and against sign flips of whole templates.
"""

import argparse

import numpy as np

from innerear.study.power import EFFECTIVE_DIMENSION, LEVELS, POWER, Power

EFFECTS = np.linspace(0, 1.5, 151)
# Variance between prompts, as a share of that of a clip (the rest is the seed's).
SHARES = (0.3, 0.6, 0.9)
DESIGNS = ("2x4", "3x4", "5x4", "8x4", "10x4", "12x4", "20x4", "6x2", "10x2", "10x8")


def main() -> None:
    """Print Markdown."""
    parser = argparse.ArgumentParser(description="What a design detects.")
    parser.add_argument("--studies", type=int, default=2000)
    parser.add_argument("--permutations", type=int, default=1000)
    parser.add_argument("--designs", nargs="+", default=DESIGNS, help="templates x labels")
    arguments = parser.parse_args()
    print("| templates × labels | test | p ≤ .05: simulated | formula | p ≤ .001: simulated | formula |")
    print("| --- | --- | --- | --- | --- | --- |")
    found = {}
    for design in arguments.designs:
        n_templates, n_labels = map(int, design.split("x"))
        power = design_of(n_templates, n_labels, arguments.permutations)
        values = simulated(power, arguments.studies, np.random.default_rng([n_templates, n_labels]))
        found[design] = values
        for test, p in values.items():
            cells = [(detected(p, level), power.detectable(level, flips=test == "flip")) for level in LEVELS]
            shown = " | ".join(f"{said(one)} | {said(other)}" for one, other in cells)
            print(f"| {n_templates} × {n_labels} | {test} | {shown} |", flush=True)
    if {"5x4", "10x4"} <= found.keys():
        print_gain(found)


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
    t, q, e, m = power.n_templates, power.n_labels, EFFECTIVE_DIMENSION, power.n_permutations
    places = np.tile(np.arange(q), (m + 1, t, 1))
    places[1:] = rng.permuted(places[1:], axis=2)
    relabel = np.zeros((m + 1, q, t, q), np.float32)  # sums over templates of each label's prompts
    np.put_along_axis(relabel, places.transpose(0, 2, 1)[..., None], 1, axis=3)
    relabel = relabel.reshape((m + 1) * q, t * q)
    every = 2 ** (t - 1) <= m + 1
    codes = np.arange(2 ** (t - 1))
    if not every:
        codes = np.append(0, 1 + rng.permutation(len(codes) - 1)[:m])
    signs = (1 - 2 * (codes[:, None] >> np.arange(t) & 1)).astype(np.float32)
    p = {name: np.empty((len(EFFECTS), n_studies)) for name in ("permutation", "flip")}
    for study in range(n_studies):
        noise = rng.normal(size=(t, q, e))
        noise -= noise.mean(axis=1, keepdims=True)
        effect = rng.normal(size=(q, e))
        effect -= effect.mean(axis=0)
        effect /= np.sqrt(np.square(effect).mean())
        both = np.stack([noise, np.broadcast_to(effect, noise.shape)], axis=-1).astype(np.float32)
        permuted = (relabel @ both.reshape(t * q, -1)).reshape(m + 1, q * e, 2)
        flipped = (signs @ both.reshape(t, -1)).reshape(len(signs), q * e, 2)
        for name, sums in (("permutation", permuted), ("flip", flipped)):
            p[name][:, study] = _p(sums)
    np.maximum(p["permutation"], power.smallest_p, out=p["permutation"])
    return p


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


def print_gain(found: dict[str, dict[str, np.ndarray]]) -> None:
    """Compare 5 templates × 4 seeds with 10 × 2, in standard deviations of a clip."""
    print("\n| variance between prompts | test | 5 templates × 4 seeds | 10 × 2 | ratio |")
    print("| --- | --- | --- | --- | --- |")
    for share in SHARES:
        for test in ("permutation", "flip"):
            for level in LEVELS:
                few, many = (
                    detected(found[design][test], level) * np.sqrt(share + (1 - share) / n_seeds)
                    for design, n_seeds in (("5x4", 4), ("10x4", 2))
                )
                cells = f"{said(few)} | {said(many)} | {said(many / few)}"
                print(f"| {share:g} | {test}, p ≤ {level:g} | {cells} |")


def said(value: float) -> str:
    """Return a number with two digits, or a dash."""
    return f"{value:.2f}" if np.isfinite(value) else "–"


if __name__ == "__main__":
    main()
