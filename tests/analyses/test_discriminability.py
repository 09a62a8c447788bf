"""Discriminability: planted effects are found, null data stay at their level."""

from functools import partial

import fakes
import numpy as np
import pytest
from fakes import EMOTIONS, Measured, analysed, codes_of, rows
from scipy.stats import binom

from innerear.analyses import discriminability
from innerear.analyses.discriminability import (
    ACCURACY,
    AUC,
    CONCORDANCE,
    DISPERSION,
    DISTANCE,
    EVIDENCE,
    OMEGA,
    RATING_DISPERSION,
)
from innerear.errors import InputError
from innerear.statistics.table import layer_map

RATINGS = dict(zip(EMOTIONS, ((0.8, 0), (-0.7, 0), (0.5, 0), (0.4, 0)), strict=True))
#: statistics that are tested at every step; those of probes' decisions are tested in windows only
EVERYWHERE = (DISTANCE, DISPERSION, EVIDENCE)
make_design = partial(fakes.make_design, n_templates=4, ratings=RATINGS)


def data(design, *, d=8, n_steps=20, within=0.5, emotion=0.0, onset=0, seed=0):
    """[N, 2, S, D]: template effects, a share `within` per prompt, emotion in uncond from `onset`."""
    rng = np.random.default_rng(seed)
    prompt = rng.normal(size=(design.n_prompts, 2, n_steps, d))
    noise = rng.normal(size=(design.n_samples, 2, n_steps, d))
    template = rng.normal(size=(design.n_blocks, 2, n_steps, d))[design.block_of]
    x = (np.sqrt(within) * prompt + template)[design.prompt_of] + np.sqrt(1 - within) * noise
    codes = codes_of(design.samples["emotion"])
    x[:, 1, onset:] += emotion * rng.normal(size=(4, d))[codes][:, None]
    return x.astype(np.float32)


# ---- planted effects and null data -------------------------------------------------------------------


@pytest.fixture(scope="module")
def planted():
    design = make_design(n_templates=5)
    results = []
    for layer, emotion in enumerate((0.0, 1.2, 0.5)):
        gram = Measured(data(design, emotion=emotion, onset=10, seed=layer), design)
        results.append(
            analysed(discriminability, gram, design, layer=layer, n_permutations=199, n_bootstraps=100)
        )
    return design, results


@pytest.mark.parametrize("statistic", [DISTANCE, EVIDENCE])
def test_a_planted_emotion_is_found_in_its_layer_branch_and_steps(planted, statistic):
    _, results = planted
    table = layer_map(discriminability, [r.table for r in results], [r.null for r in results])
    table = rows(table, statistic=statistic, over="steps")
    found = rows(table, branch="uncond", layer=1).set_index("step")
    assert (found.loc[10:, "p_corrected"] <= 0.05).all()
    assert (found.loc[:9, "p_corrected"] > 0.05).all()
    assert (rows(table, layer=0)["p_corrected"] > 0.05).all()
    assert (rows(table, branch="cond")["p_corrected"] > 0.05).all()
    assert table["family"].unique().tolist() == ["layers × steps of a branch"]


def test_only_windows_test_decisions_and_every_row_says_how(planted):
    table = planted[1][1].table
    decided = table[table["statistic"].isin([AUC, ACCURACY])]
    assert decided[decided["over"] == "steps"]["p"].isna().all()
    assert decided[decided["over"] == "windows"]["p"].notna().all()
    assert (decided[decided["over"] == "steps"]["null"] == "none: an estimate: tested in windows").all()
    tested = table[table["p"].notna()]
    assert tested["null"].str.contains(planted[0].permutation_hash(199)).all()
    assert set(tested["statistic"]) == {*EVERYWHERE, AUC, ACCURACY}
    assert rows(table, statistic=OMEGA)["null"].str.contains("tested as the cross-validated distance").all()


@pytest.mark.parametrize("within", [0.2, 0.5, 0.8])
def test_false_positive_rate_on_null_data(within):
    """Steps and deciles are independent data here, so one call tests hundreds of null studies."""
    n, design = 250, make_design(n_templates=5)
    gram = Measured(data(design, d=6, within=within, n_steps=n, seed=int(10 * within)), design)
    result = analysed(discriminability, gram, design, n_permutations=199, n_bootstraps=2)
    for statistic in EVERYWHERE:
        table = rows(result.table, over="steps", statistic=statistic)
        for branch in ("cond", "uncond"):
            rejected = int((rows(table, branch=branch)["p"] <= 0.05).sum())
            low, high = binom.interval(0.999, n, 0.05)
            assert low <= rejected <= high, (statistic, rejected)
    deciles = result.table[
        result.table["window"].str.startswith("decile") & (result.table["branch"] != "delta")
    ]
    for statistic in (AUC, ACCURACY):
        rejected = int((rows(deciles, statistic=statistic)["p"] <= 0.05).sum())
        assert rejected <= binom.ppf(0.999, 20, 0.05)


def test_max_t_keeps_the_family_wise_rate():
    design, found, n = make_design(n_templates=4), np.zeros(len(EVERYWHERE)), 25
    for k in range(n):
        gram = Measured(data(design, d=5, n_steps=9, seed=100 + k, within=0.8), design)
        table = analysed(discriminability, gram, design, n_permutations=99, n_bootstraps=2).table
        steps = rows(table, over="steps", branch="uncond")
        found += [(rows(steps, statistic=name)["p_corrected"] <= 0.05).any() for name in EVERYWHERE]
    assert (found <= binom.ppf(0.999, n, 0.05)).all(), found


# ---- other designs -----------------------------------------------------------------------------------


def measured(design, **options):
    gram = Measured(data(design, n_steps=11, **options), design)
    return analysed(discriminability, gram, design, n_permutations=99, n_bootstraps=60).table


def test_a_rating_is_ranked_not_classified():
    table = measured(make_design(n_templates=5, label="valence"), emotion=2.0)
    assert set(table["statistic"]) == {DISTANCE, OMEGA, RATING_DISPERSION, EVIDENCE, CONCORDANCE}
    whole = rows(table, window="whole", branch="uncond").set_index("statistic")
    assert (whole.loc[[DISTANCE, EVIDENCE, CONCORDANCE], "p"] <= 0.05).all()
    assert whole.loc[CONCORDANCE, "estimate"] > 0.7


def test_without_templates_probes_are_fitted_anew_for_windows():
    table = measured(make_design(n_templates=4, templates=False), emotion=2.0)
    probed = [EVIDENCE, AUC, ACCURACY]
    whole = rows(table, window="whole", branch="uncond").set_index("statistic")
    assert (whole.loc[[DISTANCE, *probed], "p_corrected"] <= 0.05).all()
    assert whole.loc[DISTANCE, "ci_lo"] > 0
    assert whole.loc[EVIDENCE, "estimate"] > 0.3
    steps = table[(table["over"] == "steps") & table["statistic"].isin(probed)]
    assert steps["p"].isna().all()
    assert steps["null"].str.contains("tested in windows").all()


@pytest.mark.parametrize("within", [0.2, 0.5, 0.8])
def test_false_positive_rate_of_probes_without_templates(within):
    design, found, n = make_design(n_templates=3, templates=False), np.zeros(3), 0
    for k in range(4):
        gram = Measured(data(design, d=6, within=within, n_steps=30, seed=k), design)
        table = analysed(discriminability, gram, design, n_permutations=59, n_bootstraps=2).table
        deciles = table[table["window"].str.startswith("decile") & (table["branch"] != "delta")]
        n += 20
        found += [
            int((rows(deciles, statistic=name)["p"] <= 0.05).sum()) for name in (EVIDENCE, AUC, ACCURACY)
        ]
    low, high = binom.interval(0.999, n, 0.05)
    assert (found <= high).all(), found
    assert found[0] >= low


def test_one_prompt_per_emotion_gives_no_p_and_says_why():
    table = measured(make_design(n_templates=1))
    assert table["p"].isna().all()
    assert table["null"].str.contains("one prompt per emotion|too few prompts").all()


def test_cells_without_variance_are_not_tested():
    design = make_design()
    x = data(design)
    x[:, 1, 3] = x[0, 1, 3]
    result = analysed(discriminability, Measured(x, design), design, n_permutations=49, n_bootstraps=20)
    table = rows(result.table, branch="uncond", over="steps").set_index("step")
    assert table.loc[3, ["estimate", "p"]].isna().all(axis=None)
    assert table.loc[3, "null"].str.contains("deterministic").all()
    assert rows(table, statistic=DISTANCE).loc[4, "p"] > 0


def test_another_order_of_samples_is_refused():
    design = make_design()
    gram = Measured(data(design), design)
    gram.axes["sample"] = gram.axes["sample"][::-1]
    with pytest.raises(InputError, match="stands where"):
        analysed(discriminability, gram, design)


def test_dispersion_is_found_as_such():
    """One label spreads more: the dispersion test sees it."""
    design = make_design(n_templates=8)
    rng = np.random.default_rng(0)
    means = rng.normal(size=(design.n_prompts, 20)) * np.where(design.prompt_labels == "sad", 4, 1)[:, None]
    x = means[design.prompt_of][:, None, None].repeat(2, axis=1).repeat(2, axis=2)
    result = analysed(
        discriminability, Measured(x.astype(np.float32), design), design, n_permutations=199, n_bootstraps=2
    )
    assert rows(result.table, statistic=DISPERSION, branch="uncond", window="whole")["p"].item() <= 0.05
