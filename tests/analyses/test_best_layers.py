"""The best layer: ranked, and confirmed on templates that did not choose it."""

import numpy as np
import pytest
from fakes import Measured, Stored, analysed, clustered, codes_of, make_design, rows, stored_products
from scipy.stats import binom
from scipy.stats import t as student

from innerear.analyses import discriminability
from innerear.analyses.best_layers import RANK, best_layers
from innerear.statistics.label_distance import Distance, kernel_of_prompts


def test_the_planted_layer_is_best_and_confirmed_elsewhere_than_where_it_was_chosen():
    design, layers = make_design(n_templates=5), {}
    codes = codes_of(design.labels)
    for layer, emotion in enumerate((0.0, 1.2, 0.5)):
        rng = np.random.default_rng(layer)
        x = clustered(design, (2, 20, 8), 0.5, rng)
        x[:, 1, 10:] += emotion * rng.normal(size=(4, 8))[codes][:, None]
        gram = Measured(x.astype(np.float32), design)
        result = analysed(discriminability, gram, design, layer=layer, n_permutations=199, n_bootstraps=100)
        layers[layer] = Stored(result.arrays, result.coords)
    best = best_layers(layers, design, model="m")
    uncond = rows(best, branch="uncond")
    assert rows(uncond, layer=1)["estimate"].item() == 1
    assert rows(uncond, layer=1)["ci_hi"].item() == 1
    held_out = rows(uncond, layer=-1).iloc[0]
    assert held_out["chosen"] == "1 (5 of 5 times)"
    assert held_out["p_corrected"] <= 0.01
    assert held_out["k"] == 5
    assert 0 < held_out["ci_lo"] < held_out["estimate"] < held_out["ci_hi"]
    assert held_out["interval"] == "95% t interval by a jackknife over 5 templates"
    assert (rows(uncond, statistic=RANK)["interval"] == "95% of 100 bootstraps of templates").all()
    assert rows(best, branch="cond", layer=-1)["p_corrected"].item() > 0.05


def test_choosing_the_best_of_many_null_layers_is_not_confirmed():
    design, found, n = make_design(n_templates=4), 0, 40
    for k in range(n):
        distance, layers = Distance(design), {}
        relabelings = np.vstack([np.arange(design.n_prompts), design.prompt_permutations(99)])
        for layer in range(6):
            x = clustered(design, (5,), 0.8, np.random.default_rng(1000 * k + layer))
            products = distance.fold_products(kernel_of_prompts((x @ x.T)[None], design), relabelings)[..., 0]
            layers[layer] = stored_products(products)
        best = best_layers(layers, design, model="0")
        found += bool(rows(best, layer=-1)["p"].item() <= 0.05)
    assert found <= binom.ppf(0.999, n, 0.05)


def test_the_interval_is_a_jackknife_that_chooses_anew():
    """Products of five templates in two layers; each template is left out, and its layer chosen anew."""
    rng, n = np.random.default_rng(0), 5
    products = rng.normal(size=(2, n, n))
    products += products.swapaxes(1, 2)

    def held_out(kept):
        found = []
        for fold in kept:
            rest = [other for other in kept if other != fold]
            within = [np.mean([one[a, b] for a in rest for b in rest if a != b]) for one in products]
            found.append(products[int(np.argmax(within))][fold, rest].mean())
        return np.mean(found)

    layers = {layer: stored_products(one[None]) for layer, one in enumerate(products)}
    row = rows(best_layers(layers, make_design(n_templates=n), model="m"), layer=-1).iloc[0]
    left = np.array([held_out([t for t in range(n) if t != out]) for out in range(n)])
    half = student.ppf(0.975, n - 1) * np.sqrt((n - 1) / n * ((left - left.mean()) ** 2).sum())
    assert row["estimate"] == pytest.approx(held_out(range(n)))
    assert [row["ci_lo"], row["ci_hi"]] == pytest.approx([row["estimate"] - half, row["estimate"] + half])
