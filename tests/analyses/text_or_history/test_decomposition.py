"""Text or history: planted effects are separated and measured, null data keep their level."""

import numpy as np
import pandas as pd
import pytest
from fake_replays import PADS, Replayed, network
from fakes import EMOTIONS, make_design, rows, sized
from scipy.stats import binom

from innerear.analyses.text_or_history import decomposition
from innerear.analyses.text_or_history.cells import (
    HISTORY,
    INTERACTION,
    OFF_HISTORY,
    OFF_TEXT,
    ON_POLICY,
    PARAPHRASE,
    SWAP,
    TEXT,
    ReplayedTemplate,
)
from innerear.analyses.text_or_history.decomposition import OVERTAKING, of_layer, overtaken
from innerear.analyses.text_or_history.shares import (
    CLIP,
    COMPONENTS,
    GENERAL,
    LEAD,
    LENGTH,
    SHUFFLED,
    probe_name,
)
from innerear.errors import InputError
from innerear.statistics.design import Design
from innerear.statistics.table import layer_map


def decompose(design, states, m=99, boots=100, layer=0, **options):
    emotions = list(dict.fromkeys(design.labels))
    grams = {
        f"t{t}": Replayed(x, emotions, list(design.seeds), f"t{t}", **options) for t, x in enumerate(states)
    }
    return of_layer(grams, sized(design, m, boots), model="synthetic", weights="trained", layer=layer)


def whole(table, statistic):
    return rows(table, statistic=statistic, window="whole").iloc[0]


def at_steps(table, statistic, column="estimate"):
    return rows(table, statistic=statistic, over="steps")[column].to_numpy(float)


# ---- the textbook ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def mixed():
    """A design, states with every effect, and their decomposition."""
    design = make_design(3, 3)
    effects = {"text": 0.6, "history": 0.4, "interaction": 0.2, "cell": 0.3, "seed_effect": 0.5}
    states = network(design, **effects, paraphrase=0.1, n_steps=15, seed=3)
    return design, states, decompose(design, states).table


def across_seeds(deviation):
    """Mean over r ≠ r′ of Σ_q d_q^r · d_q^r′ of deviations [R, Q, D]."""
    n_seeds = len(deviation)
    products = [(deviation[r] * deviation[s]).sum() for r in range(n_seeds) for s in range(n_seeds) if r != s]
    return np.mean(products)


def test_shares_equal_products_of_seeds_of_the_states(mixed):
    _, states, table = mixed
    step, n = 7, len(EMOTIONS)
    parts = {name: [] for name in (*COMPONENTS, ON_POLICY, SWAP, PARAPHRASE, "total")}
    for x in states:
        every = x[:, :, :, step].swapaxes(0, 1)  # [R, E, B, D]
        core = every[:, :, :n]
        about = core - core.mean(axis=(1, 2), keepdims=True)
        text, history = about.mean(axis=1), about.mean(axis=2)
        own = core[:, np.arange(n), np.arange(n)]
        parts[TEXT].append(across_seeds(text) / n)
        parts[HISTORY].append(across_seeds(history) / n)
        rest = about - text[:, None] - history[:, :, None]
        parts[INTERACTION].append(across_seeds(rest.reshape(len(rest), -1, rest.shape[-1])) / n**2)
        parts[ON_POLICY].append(across_seeds(own - own.mean(axis=1, keepdims=True)) / n)
        other = core - own[:, :, None]
        swapped = np.stack([other[:, a, b] for a in range(n) for b in range(n) if a != b], axis=1)
        parts[SWAP].append(across_seeds(swapped) / (2 * n * (n - 1)))
        parts[PARAPHRASE].append(across_seeds(every[:, :, -1] - own) / (2 * n))
        flat = core.reshape(len(core), -1, core.shape[-1])
        apart = [
            ((flat[r][:, None] - flat[s]) ** 2).sum(axis=-1).mean()
            for r in range(len(flat))
            for s in range(len(flat))
            if r != s
        ]
        parts["total"].append(np.mean(apart) / 2)
    total = np.mean(parts.pop("total"))
    for name, values in parts.items():
        found = at_steps(table, name)[step - PADS]
        assert found == pytest.approx(np.mean(values) / total, abs=2e-6), name


def test_text_history_interaction_and_clip_sum_to_one(mixed):
    table = mixed[2]
    total = sum(at_steps(table, name) for name in (*COMPONENTS, CLIP))
    assert total == pytest.approx(1, abs=5e-6)
    assert at_steps(table, LEAD) == pytest.approx(at_steps(table, HISTORY) - at_steps(table, TEXT), abs=3e-6)


def test_the_length_of_delta_is_that_of_the_states(mixed):
    _, states, table = mixed
    own = np.arange(len(EMOTIONS))
    cond = np.stack([x[own, :, own, 9] for x in states])
    delta = cond - np.stack([x[own, :, len(EMOTIONS) + 1, 9] for x in states])
    expected = np.sqrt((delta**2).sum(axis=-1).mean() / (cond**2).sum(axis=-1).mean())
    assert at_steps(table, LENGTH)[9 - PADS] == pytest.approx(expected, rel=1e-4)


def test_general_shares_equal_products_of_templates(mixed):
    _, states, table = mixed
    n = len(EMOTIONS)
    mean = np.stack([x[:, :, :n, 7].mean(axis=1) for x in states])  # [T, E, E, D]
    text = mean.mean(axis=1) - mean.mean(axis=(1, 2))[:, None]
    share = at_steps(table, TEXT + GENERAL)[7 - PADS] / at_steps(table, TEXT)[7 - PADS]
    # Both are relative to one total, so that their ratio is free of it.
    own = np.mean(
        [across_seeds((c := x[:, :, :n, 7]).mean(axis=0) - c.mean(axis=(0, 2))[:, None]) for x in states]
    )
    assert share == pytest.approx(across_seeds(text) / own, abs=1e-4)


# ---- planted effects -------------------------------------------------------------------------------

NETWORKS = {
    "text only": {"text": 0.5},
    "history only": {"history": 0.5},
    "additive": {"text": 0.4, "history": 0.8},
    "interacting": {"text": 0.3, "history": 0.3, "interaction": 0.6},
}


@pytest.mark.parametrize("planted", NETWORKS.values(), ids=NETWORKS)
def test_planted_shares_are_recovered_within_the_band(planted):
    design = make_design(5, 4)
    states = network(design, **planted, clip=0.6, cell=0.2, seed_effect=0.2, n_steps=66, seed=5)
    table = decompose(design, states, boots=400).table
    total = sum(planted.values()) + 0.6 + 0.2 + 0.2
    for name in COMPONENTS:
        share = planted.get(name, 0) / total
        estimate, low, high = (at_steps(table, name, c) for c in ("estimate", "ci_lo", "ci_hi"))
        # Unbiased: the mean over 60 steps of independent noise.
        assert estimate.mean() == pytest.approx(share, abs=4 * estimate.std() / np.sqrt(len(estimate)) + 1e-6)
        assert ((low <= share) & (share <= high)).mean() > 0.75, name
        p = at_steps(table, name, "p_corrected")
        if share:
            assert (p < 0.05).mean() > 0.9, name
        else:
            assert (p < 0.05).mean() < 0.05, name


def test_cells_off_policy_tell_the_same_shares_of_an_additive_network():
    design = make_design(5, 4)
    table = decompose(design, network(design, text=0.5, history=0.8, n_steps=40)).table
    for whole_table, part in ((TEXT, OFF_TEXT), (HISTORY, OFF_HISTORY)):
        assert at_steps(table, part).mean() == pytest.approx(at_steps(table, whole_table).mean(), abs=0.02)


def test_on_policy_adds_up_text_and_history():
    design = make_design(5, 4)
    apart = decompose(design, network(design, text=0.5, history=0.5, n_steps=40)).table
    along = decompose(design, network(design, text=0.5, history=0.5, shared=True, n_steps=40)).table
    assert at_steps(apart, ON_POLICY).mean() == pytest.approx(0.5, abs=0.1)
    # (√½ + √½)² of 2: text and history push in one direction.
    assert at_steps(along, ON_POLICY).mean() == pytest.approx(1, abs=0.1)


def test_a_paraphrase_moves_states_by_its_own_share_only():
    design = make_design(5, 4)
    plain = decompose(design, network(design, text=0.5, n_steps=40)).table
    assert at_steps(plain, PARAPHRASE) == pytest.approx(0, abs=1e-6)
    other = decompose(design, network(design, text=0.5, paraphrase=0.3, n_steps=40)).table
    assert at_steps(other, PARAPHRASE).mean() == pytest.approx(0.3 / 1.5, abs=0.05)
    # Two texts of variance ½ each, about their mean: ½ · 2 · ½ · E / (E − 1).
    assert at_steps(other, SWAP).mean() == pytest.approx(0.5 * 4 / 3 / 1.5, abs=0.02)


# ---- null data -------------------------------------------------------------------------------------


def within_binomial(hits, n, level=0.05):
    low, high = binom.ppf([0.0005, 0.9995], n, level)
    return low <= hits <= high


@pytest.fixture(scope="module")
def null_tables():
    """Decompositions of 12 networks without effects: clips and seeds differ, and texts move single cells."""
    design = make_design(3, 3)
    return [
        decompose(
            design,
            network(design, clip=1, cell=0.5, seed_effect=2, n_steps=26, d=10, seed=100 + i),
            m=99,
            boots=60,
        ).table
        for i in range(12)
    ]


@pytest.mark.parametrize(
    "name", [*COMPONENTS, ON_POLICY, *(c + GENERAL for c in COMPONENTS), HISTORY + SHUFFLED]
)
def test_null_data_are_found_at_their_level(null_tables, name):
    p = np.concatenate([at_steps(table, name, "p") for table in null_tables])
    assert len(p) == 240
    assert within_binomial((p <= 0.05).sum(), len(p))
    # p is uniform, not merely small at its level.
    assert within_binomial((p <= 0.5).sum(), len(p), 0.5)


@pytest.mark.parametrize("name", COMPONENTS)
def test_null_shares_are_zero_in_expectation(null_tables, name):
    estimate = np.concatenate([at_steps(table, name) for table in null_tables])
    assert estimate.mean() == pytest.approx(0, abs=4 * estimate.std() / np.sqrt(len(estimate)))
    assert (estimate < 0).mean() > 0.3


def test_the_map_is_corrected(null_tables):
    found = [(at_steps(t, name, "p_corrected") <= 0.05).any() for t in null_tables for name in COMPONENTS]
    assert binom.sf(sum(found) - 1, len(found), 0.05) > 0.001


def test_null_probes_stay_at_chance(null_tables):
    for kinds in ((HISTORY, HISTORY), (TEXT, TEXT), (HISTORY, TEXT), (TEXT, HISTORY)):
        tables = [rows(table, statistic=probe_name(*kinds), over="windows") for table in null_tables]
        p = np.concatenate([table["p"].to_numpy(float) for table in tables])
        assert within_binomial((p <= 0.05).sum(), len(p)), kinds


def test_a_shuffled_pairing_hides_a_strong_history():
    design = make_design(5, 4)
    table = decompose(design, network(design, history=2, interaction=1, n_steps=46, seed=8)).table
    p = at_steps(table, HISTORY + SHUFFLED, "p_corrected")
    assert (p <= 0.05).sum() == 0
    assert abs(at_steps(table, HISTORY + SHUFFLED).mean()) < 0.15 * at_steps(table, HISTORY).mean()


# ---- one code for all templates, and for text and history ------------------------------------------


def test_a_direction_of_its_own_in_each_template_is_not_general():
    design = make_design(5, 4)
    options = {"text": 0.5, "history": 0.5, "clip": 0.5, "n_steps": 26, "d": 60}
    own = decompose(design, network(design, **options, seed=1)).table
    common = decompose(design, network(design, **options, general=True, seed=1)).table
    for name in (TEXT, HISTORY):
        assert (at_steps(own, name, "p_corrected") <= 0.05).all()
        assert abs(at_steps(own, name + GENERAL).mean()) < 0.06
        assert (at_steps(own, name + GENERAL, "p_corrected") > 0.05).all()
        assert (at_steps(common, name + GENERAL, "p_corrected") <= 0.05).all()
        assert at_steps(common, name + GENERAL).mean() == pytest.approx(
            at_steps(common, name).mean(), abs=0.02
        )


def test_probes_carry_over_between_text_and_history_only_along_a_shared_direction():
    design = make_design(5, 4)
    options = {"text": 0.5, "history": 0.5, "general": True, "n_steps": 14, "d": 40}
    shared = decompose(design, network(design, **options, shared=True), m=199).table
    for kinds in ((HISTORY, TEXT), (TEXT, HISTORY)):
        row = whole(shared, probe_name(*kinds))
        assert row["estimate"] > 0.9
        assert row["p"] == pytest.approx(1 / 24, abs=0.03)
    found = []
    for seed in range(20):
        apart = decompose(design, network(design, **options, seed=seed), boots=20).table
        assert whole(apart, probe_name(HISTORY, HISTORY))["estimate"] > 0.9
        assert whole(apart, probe_name(TEXT, TEXT))["p"] == 0.01
        found.append(whole(apart, probe_name(HISTORY, TEXT))["p"] <= 0.06)
    assert binom.sf(sum(found) - 1, len(found), 0.06) > 0.01


# ---- overtaking ------------------------------------------------------------------------------------


def test_the_step_of_overtaking_is_found():
    design = make_design(5, 4)
    step = np.arange(60)
    falling = 0.6 / (1 + np.exp((step - 30) / 4))
    table = decompose(design, network(design, text=falling, history=0.6 - falling, n_steps=60)).table
    row = rows(table, statistic=OVERTAKING, unit="step").iloc[0]
    assert abs(row["estimate"] - 30) <= 3
    assert row["ci_lo"] <= 30 <= row["ci_hi"]
    assert row["ci_hi"] - row["ci_lo"] < 15
    assert row["reading"].startswith("at step")
    seconds = rows(table, statistic=OVERTAKING, unit="s").iloc[0]
    assert seconds["estimate"] == pytest.approx(row["estimate"] / 50)


@pytest.mark.parametrize(
    ("text", "history", "said"), [(1, 0, "never within the clip"), (0, 1, "from the start")]
)
def test_never_and_from_the_start_are_said(text, history, said):
    design = make_design(3, 4)
    table = decompose(design, network(design, text=text, history=history, n_steps=15)).table
    row = rows(table, statistic=OVERTAKING, unit="step").iloc[0]
    assert row["reading"] == said  # both ends of the interval say the same


def test_overtaking_is_one_crossing_of_noisy_curves():
    text = np.array([[3, 1, 0, 3, 0, 0, 1], [1, 1, 1, 1, 1, 1, 1], [0, 0, 0, 0, 0, 0, 0.0]])
    assert overtaken(text, np.ones(7)).tolist() == [4, 0, 0]
    assert overtaken(text[1] + 1, np.ones(7)) == 7
    assert overtaken(np.array([2, np.nan, 2, 0, 0.0]), np.ones(5)) == 3


# ---- invariances and refusals ----------------------------------------------------------------------


def test_names_order_rotation_and_scale_do_not_matter(mixed):
    design, states, table = mixed
    rng = np.random.default_rng(0)
    rotation = np.linalg.qr(rng.normal(size=(12, 12)))[0]
    moved = [7 * (x @ rotation) + 5 for x in states]
    again = decompose(design, moved).table
    scaled = at_steps(again, LENGTH)
    assert np.isfinite(scaled).all()
    names = dict(zip(EMOTIONS, ("d", "c", "b", "a"), strict=True))
    samples = design.samples.assign(emotion=[names[e] for e in design.labels])
    for column in ("sample_id", "prompt_id"):
        for old, new in names.items():
            samples[column] = samples[column].str.replace(f"-{old}", f"-{new}")
    renamed = decompose(Design(samples), states).table
    for other in (again, renamed):
        for name in (*COMPONENTS, ON_POLICY, PARAPHRASE, TEXT + GENERAL):
            assert at_steps(other, name) == pytest.approx(at_steps(table, name), abs=1e-5), name
        assert at_steps(other, TEXT, "p") == pytest.approx(at_steps(table, TEXT, "p"), abs=0.021)


def test_cells_are_found_by_name_not_by_place(mixed):
    design, states, table = mixed
    shuffled = {}
    for t, x in enumerate(states):
        one = Replayed(x, EMOTIONS, list(design.seeds), f"t{t}")
        order = np.random.default_rng(t).permutation(len(one.axes["codes"]))
        for name in ("codes", "text", "codes_emotion"):
            one.axes[name] = one.axes[name][order]
        for name, (dims, values) in one.arrays.items():
            for axis in ("cell", "cell_2"):
                values = values.take(order, axis=dims.index(axis)) if axis in dims else values
            one.arrays[name] = (dims, values)
        shuffled[f"t{t}"] = one
    options = {"model": "synthetic", "weights": "trained", "layer": 0}
    again = of_layer(shuffled, sized(design, 99, 20), **options).table
    for name in (*COMPONENTS, PARAPHRASE):
        assert at_steps(again, name) == pytest.approx(at_steps(table, name), abs=1e-6)


def test_a_file_of_other_clips_is_refused(mixed):
    design, states, _ = mixed
    with pytest.raises(InputError, match="not in the sample sheet"):
        ReplayedTemplate(Replayed(states[0], EMOTIONS, [7, 8, 9], "t0"), design)
    with pytest.raises(InputError, match="no cell of codes 'happy', seed 2"):
        ReplayedTemplate(Replayed(states[0][:, :2], EMOTIONS, [0, 1], "t0"), design)


def test_one_seed_is_refused_with_the_reason():
    design = make_design(3, 1)
    table = decompose(design, network(design)).table
    assert table["estimate"].isna().all()
    assert table["p"].isna().all()
    assert table["null"].str.startswith("none: there is one seed").all()
    assert {TEXT, HISTORY, OVERTAKING} <= set(table["statistic"])


def test_no_template_and_one_template_say_so():
    design = make_design(1, 4)
    none = decompose(design, []).table
    assert none["null"].str.contains("no texts were swapped").all()
    assert len(rows(none, statistic=OVERTAKING, unit="s")) == 1
    one = decompose(design, network(design, text=1, n_steps=12)).table
    row = whole(one, TEXT)
    assert row["estimate"] > 0.5
    assert row["p"] == 0.01
    assert row["interval"].endswith("bootstraps of seeds")
    general = whole(one, TEXT + GENERAL)
    assert np.isnan(general["estimate"])
    assert "general code needs two" in general["null"]


def test_templates_without_swapped_texts_do_not_count():
    design = make_design(3, 3)
    table = decompose(design, network(design, text=1, history=1, n_steps=12)[:2]).table
    assert (table["n_prompts"] == 8).all()
    assert (table["n_templates"] == 2).all()
    row = whole(table, TEXT)
    assert row["interval"].startswith("95% of 100 bootstraps of templates")
    assert row["ci_lo"] <= row["estimate"] <= row["ci_hi"]


def test_two_seeds_resample_templates_only():
    design = make_design(3, 2)
    row = whole(decompose(design, network(design, text=1, n_steps=12)).table, TEXT)
    assert row["interval"] == "95% of 100 bootstraps of templates"
    assert row["ci_lo"] <= row["estimate"] <= row["ci_hi"]


def test_the_map_corrects_over_layers_and_asks_for_an_effect_before_it_is_overtaken():
    design = make_design(3, 3)
    states = [network(design, n_steps=16, seed=50), network(design, text=1.5, n_steps=16, seed=51)]
    results = [decompose(design, x, layer=layer) for layer, x in enumerate(states)]
    table = layer_map(decomposition, [r.table for r in results], [r.null for r in results])
    for layer, found in ((0, False), (1, True)):
        overtaking = rows(table, statistic=OVERTAKING, layer=layer)
        assert overtaking["estimate"].notna().all() == found
    assert overtaking["reading"].str.startswith("never").all()
    alone = pd.concat([r.table for r in results], ignore_index=True)
    tested = alone["p_corrected"].notna()
    assert (table.loc[tested, "p_corrected"] >= alone.loc[tested, "p_corrected"] - 1e-9).all()
    assert set(table.loc[tested, "family"]) == {"layers × steps", "layers × windows"}


def test_shuffled_labels_leave_what_is_within_templates_and_hide_what_is_general():
    design = make_design(5, 4)
    states = network(design, text=0.8, history=0.8, general=True, n_steps=20, d=30, seed=2)
    emotions = list(dict.fromkeys(design.labels))
    grams = {f"t{t}": Replayed(x, emotions, list(design.seeds), f"t{t}") for t, x in enumerate(states)}
    options = {"model": "synthetic", "weights": "trained", "layer": 0}
    true, control = (
        of_layer(grams, sized(one, 99, 20), **options).table for one in (design, design.shuffled())
    )
    for name in COMPONENTS:
        assert at_steps(control, name) == pytest.approx(at_steps(true, name), abs=1e-6)
    for name in (TEXT, HISTORY):
        assert (at_steps(true, name + GENERAL, "p_corrected") <= 0.05).all()
        assert (at_steps(control, name + GENERAL, "p_corrected") > 0.05).all()
    assert whole(true, probe_name(TEXT, TEXT))["estimate"] > 0.9
    assert whole(control, probe_name(TEXT, TEXT))["p"] > 0.05


def test_a_replay_of_other_emotions_than_the_sheets_is_refused(mixed):
    design, states, _ = mixed
    file = Replayed(states[0], EMOTIONS, list(design.seeds), "t0")
    names = {"happy": "glad"}
    for axis in ("codes_emotion", "text"):
        file.axes[axis] = np.array([names.get(e, e) for e in file.axes[axis]])
    with pytest.raises(InputError, match="calls its codes glad, sad"):
        ReplayedTemplate(file, design)


def test_a_layer_of_much_text_does_not_hide_the_text_that_all_templates_have_in_another():
    design = make_design(10, 2)
    states = [network(design, text=text, clip=1, n_steps=10, seed=i) for i, text in enumerate((0.05, 2))]
    found = [decompose(design, one, boots=2, layer=layer) for layer, one in enumerate(states)]
    table = layer_map(decomposition, [one.table for one in found], [one.null for one in found])
    for layer, share in ((0, 0.1), (1, 0.8)):
        text = whole(rows(table, layer=layer), TEXT)
        assert text["estimate"] > share and text["k"] == 10
        assert text["p_flip_corrected"] <= 0.05, layer


def test_flips_of_templates_beside_the_permutation():
    """Text that all templates share passes in general too; a text of each template's own within only."""
    design = make_design(7, 2)
    shared = decompose(design, network(design, text=0.3, clip=1, general=True, n_steps=10)).table
    assert whole(shared, TEXT)["p_flip"] <= 0.05 and whole(shared, TEXT)["k"] == 7
    assert whole(shared, TEXT + GENERAL)["p_flip"] <= 0.05
    own = decompose(design, network(design, text=0.3, clip=1, n_steps=10)).table
    assert whole(own, TEXT)["p_flip"] <= 0.05
    assert whole(own, TEXT + GENERAL)["p_flip"] > 0.05
    p = {name: [] for name in (TEXT, HISTORY, TEXT + GENERAL)}
    for seed in range(6):
        null = decompose(design, network(design, clip=1, cell=0.3, n_steps=20, seed=seed), boots=2).table
        for name, found in p.items():
            found.extend(at_steps(null, name, "p_flip"))
    for name, found in p.items():
        assert (np.array(found) <= 0.05).sum() <= binom.ppf(0.999, len(found), 0.05), name
