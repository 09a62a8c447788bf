"""Features on held-out templates: a planted one is found, noise is not, and what cannot be asked says why."""

import numpy as np
import pytest
from fake_clips import clip_table
from fakes import EMOTIONS, Stored, analysed, clustered, codes_of, make_design, rows, sized

from innerear.analyses import features
from innerear.analyses.features.probes import ACCURACY, KS, accuracies, named_right, probe_rows
from innerear.analyses.features.sound import SOUND, SOUND_BEYOND, sound_rows
from innerear.pages.findings import Asked, findings
from innerear.statistics.claims import ESTABLISHED, NOT_ESTABLISHED, SENTENCES
from innerear.statistics.table import layer_map

N_LATENTS, N_UNITS = 12, 6
ASKED = Asked(primary=(), n_labels=4, n_templates=10)


def fake(design, *, switched=0.0, held=6, noise=1.0, seed=0):
    """Clips whose latent 3 of uncond differs between emotions; the first templates are trained on."""
    rng = np.random.default_rng(seed)
    samples = np.array(design.samples["sample_id"])
    arrays, coords = {}, {"sample": samples}
    emotion = codes_of(design.labels)
    for branch in ("cond", "uncond", "delta", "random_init"):
        coords[f"latent_{branch}"] = np.arange(N_LATENTS)
        values = noise * clustered(design, (N_LATENTS,), 0.5, rng) + 10
        if branch == "uncond":
            values[:, 3] += switched * (emotion == 1)
        for name in ("mean", "rate"):
            arrays[f"{name}_{branch}"] = ("sample", f"latent_{branch}"), values.astype(np.float32)
    templates = list(dict.fromkeys(design.samples["template"]))
    arrays["training"] = ("sample",), np.isin(design.samples["template"], templates[: len(templates) - held])
    arrays["stable"] = ("latent_uncond",), np.arange(N_LATENTS) % 2 == 1
    arrays["twin_cosine"] = ("latent_uncond",), np.zeros(N_LATENTS, np.float32)
    units = clustered(design, (N_UNITS,), 0.5, rng)
    gram = Stored(
        {"window_mean": (("branch", "window", "sample", "d_model"), units[None, None])},
        {"branch": ["uncond"], "window": ["whole"], "sample": samples},
    )
    return gram, Stored(arrays, coords)


def sound(design, values):
    return clip_table(design, values, [f"m{i}" for i in range(values.shape[1])])


def found(design, *, acoustics=None, n_permutations=99, **planted):
    gram, clips = fake(design, **planted)
    noise = np.random.default_rng(9).normal(size=(design.n_samples, 3))
    heard = sound(design, noise if acoustics is None else acoustics(clips, noise))
    result = analysed(
        features, gram, design, clips=clips, acoustics=heard, n_permutations=n_permutations, n_bootstraps=20
    )
    return layer_map(features, [result.table], [result.null])


def test_a_switched_feature_is_found_and_named_and_no_other():
    table = found(make_design(10, own_seeds=True), switched=6.0)
    own = rows(table, statistic=features.BY_FEATURE, kind=features.FEATURES, branch="uncond")
    own = own[own["measure"] == "mean activation"]
    assert own.loc[own["p_corrected"] <= 0.05, "feature"].tolist() == [3]
    assert own.loc[own["named"].astype(bool), "feature"].tolist() == [3]
    count = rows(table, statistic=features.NAMED).iloc[0]
    assert count["n_named"] == 1 and "6 found by all seeds" in count["note"]
    assert count["feature"] == 3 and count["estimate"] < count["ci_hi"]
    assert count["p_corrected"] == own.loc[own["feature"] == 3, "p_corrected"].item()
    others = rows(table, statistic=features.BY_FEATURE, kind=features.TWIN)
    assert (others["p_corrected"] > 0.05).all()
    assert own["n_prompts"].unique().tolist() == [24]


def test_noise_keeps_the_family_wise_error():
    wrong, n = np.zeros(2), 100
    for seed in range(n):
        design = sized(make_design(6, own_seeds=True), 99)
        gram, clips = fake(design, seed=seed)
        cells = [
            one
            for one in features._cells(gram, clips, np.arange(design.n_samples))
            if one.kind == features.FEATURES
        ]
        table, _ = features._by_feature(cells, design, [], "")
        wrong += np.array([(table[name] <= 0.05).any() for name in ("p_corrected", "p_flip_corrected")])
    assert (wrong <= 11).all()  # of 100 at .05: twelve or more in 1 of 250


def test_nothing_held_out_gives_estimates_without_p():
    table = found(make_design(4), held=0)
    own = rows(table, statistic=features.BY_FEATURE)
    assert own["p"].isna().all() and own["estimate"].notna().all()
    assert own["null"].str.contains("trained on all prompts").all()
    assert rows(table, statistic=features.NAMED)["n_named"].tolist() == [0]


def test_sound_that_follows_a_feature_is_found_beyond_prompts():
    def follows(clips, noise):
        noise[:, 1] = clips.read("mean_uncond")[:, 5]
        return noise

    table = found(make_design(10, own_seeds=True), acoustics=follows)
    beyond = rows(table, statistic=SOUND_BEYOND).set_index("sound")
    assert beyond.loc["m1", "feature"] == 5 and beyond.loc["m1", "p_corrected"] <= 0.05
    assert beyond.loc["m1", "estimate"] > 0.8
    assert (beyond.loc[["m0", "m2"], "p_corrected"] > 0.05).all()


def test_sound_that_goes_with_prompts_alone_is_not_beyond_them():
    design = make_design(10, own_seeds=True)

    def of_prompts(clips, noise):
        means = clips.read("mean_uncond")[:, 5][design.rows].mean(axis=1)
        noise[:, 1] = means[design.prompt_of] + 1e-3 * noise[:, 1]
        return noise

    table = found(design, acoustics=of_prompts)
    total, beyond = (rows(table, statistic=one).set_index("sound").loc["m1"] for one in (SOUND, SOUND_BEYOND))
    assert total["estimate"] > 0.8
    assert beyond["p_corrected"] > 0.05


def test_one_clip_a_prompt_says_why_nothing_is_beyond_it():
    table = found(make_design(10, 1))
    beyond = rows(table, statistic=SOUND_BEYOND)
    assert beyond["p"].isna().all() and beyond["null"].str.contains("one clip a prompt").all()


def test_probes_choose_on_other_templates():
    design = make_design(6)
    rng = np.random.default_rng(0)
    values = rng.normal(size=(design.n_samples, 30))
    emotion = codes_of(design.labels)
    for label in range(4):
        values[:, 7 + label] += 8 * (emotion == label)
    by_k = accuracies(values, design)
    assert by_k[0] < 0.75 < by_k[2] and by_k[3] > 0.95
    noise = [accuracies(rng.normal(size=values.shape), design) for _ in range(10)]
    assert np.mean(noise) == pytest.approx(0.25, abs=0.06)


def test_probes_are_told_by_kind():
    table = rows(found(make_design(10, own_seeds=True), switched=6.0), statistic=ACCURACY)
    assert set(table["kind"]) >= {
        features.FEATURES,
        features.TWIN,
        "rotated dimensions",
        "principal components",
    }
    best = rows(table, kind=features.FEATURES, k_features=1)["estimate"].item()
    assert best > rows(table, kind=features.TWIN, k_features=1)["estimate"].item()
    assert set(table["interval"]) == {"95% of 20 bootstraps of templates"}


def test_intervals_of_accuracies_are_of_bootstraps_of_the_judged_templates():
    design = sized(make_design(8, own_seeds=True), 19, n_bootstraps=200)
    values = np.random.default_rng(1).normal(size=(design.n_samples, 30))
    values[:, 7] += 2 * (np.unique(design.labels, return_inverse=True)[1] == 1)
    table, _ = probe_rows({"features": values}, design)
    right = named_right(values, design)
    counts, labels = design.bootstraps().samples(), design.labels
    drawn = [
        [np.average(right[k][labels == one], weights=count[labels == one]) for one in EMOTIONS]
        for k in range(len(KS))
        for count in counts
    ]
    expected = np.quantile(np.mean(drawn, axis=1).reshape(len(KS), -1), [0.025, 0.975], axis=1)
    assert np.allclose(table[["ci_lo", "ci_hi"]].to_numpy().T, expected)
    assert np.allclose(table["estimate"], accuracies(values, design))


def answers(design, **planted):
    """The page's answers about features of a study."""
    follows = planted.pop("acoustics", None)
    table = found(design, acoustics=follows, **planted)
    return findings({"features": table}, asked=ASKED).set_index("question")


def test_a_switched_feature_is_established_by_both_p():
    levels = answers(make_design(10, own_seeds=True), switched=12.0)["established"].to_list()
    assert levels == [ESTABLISHED, ESTABLISHED, NOT_ESTABLISHED]


def test_few_held_out_templates_establish_it_for_these_sentences():
    page = answers(make_design(10, own_seeds=True), switched=12.0, held=4)
    assert page["established"].to_list()[:2] == [SENTENCES] * 2
    assert page["answer"].iloc[0].count("there are 4 templates") == 1


def test_sound_that_follows_a_feature_is_established_by_both_p():
    def follows(clips, noise):
        noise[:, 1] = clips.read("mean_uncond")[:, 5]
        return noise

    page = answers(make_design(10, own_seeds=True), acoustics=follows, held=8)
    assert page["established"].iloc[2] == ESTABLISHED
    assert 0.8 < page["estimate"].iloc[2] <= page["ci_hi"].iloc[2]


def test_a_study_with_shuffled_labels_establishes_nothing_and_bounds_it():
    """The features of a study in which one differs, with the labels moved between prompts."""
    design = make_design(10, own_seeds=True)
    gram, clips = fake(design, switched=12.0)
    shuffled = design.shuffled()
    heard = sound(design, np.random.default_rng(9).normal(size=(design.n_samples, 3)))
    how = {"clips": clips, "acoustics": heard, "n_permutations": 99, "n_bootstraps": 20}
    result = analysed(features, gram, shuffled, **how)
    table = layer_map(features, [result.table], [result.null])
    page = findings({"features": table}, asked=ASKED)
    assert (page["established"] == NOT_ESTABLISHED).all(), page["established"]
    assert page["answer"].str.contains("An effect is at most").all()
    assert (page["estimate"] < page["upper"]).all() and (page["upper"] < 1).all()


def with_sound(design):
    """Rows of features beside a sound that follows latent 5, and noise."""
    clips = fake(design, held=0)[1]
    mean, rate = (clips.read(f"{name}_uncond") for name in ("mean", "rate"))
    noise = np.random.default_rng(9).normal(size=(design.n_samples, 3))
    noise[:, 1] = mean[:, 5]
    return sound_rows(mean, rate, sound(design, noise), design)[0]


def test_exchanges_of_prompts_and_of_clips_have_their_own_smallest_p():
    table = with_sound(sized(make_design(5, 4, emotions=EMOTIONS[:2]), 999))
    # The two prompts of each of five templates change places, or the four clips of each of ten prompts.
    smallest = table.groupby("statistic")["min_p"].first()
    assert smallest.to_dict() == {SOUND: 1 / 32, SOUND_BEYOND: 1 / 1000}
    assert rows(table, statistic=SOUND_BEYOND)["p"].min() == 1 / 1000


def test_clips_are_exchanged_within_prompts_even_where_labels_cannot_move():
    table = rows(with_sound(sized(make_design(1, 6))), statistic=SOUND_BEYOND)
    assert table["p"].notna().all() and (table["null"] == "clips permuted within prompts").all()
