"""Every analysis takes any label: ratings say what two labels say, graded ones are tested, none crashes."""

import numpy as np
import pytest
from fake_clips import clip_table
from fakes import Measured, analysed, clustered, make_design, rows, sheet, sized
from scipy.stats import linregress, pearsonr

from innerear.analyses import (
    dimensions,
    discriminability,
    emergence,
    generalisation,
    similarity,
    sound,
    sound_and_label,
)
from innerear.analyses.audio_check import ANOVA, SLOPE, audio_check
from innerear.analyses.dimensions import BY_DIMENSION
from innerear.analyses.similarity import RATING_OTHER_SEED, RATING_SAME_SEED
from innerear.analyses.sound import BEYOND
from innerear.statistics.design import Design
from innerear.statistics.design.file import read_design, write_design

TWO = {"happy": (0.8, 0.5), "sad": (-0.7, -0.5)}
S, D = 20, 6
SIZES = {"n_permutations": 49, "n_bootstraps": 20}


def graded(label="valence"):
    """Four emotions × 4 templates, each prompt rated by itself."""
    table = sheet(4)
    ratings = np.random.default_rng(0).uniform(-1, 1, size=(16, 2)).round(2)
    return Design(
        table.assign(valence=np.repeat(ratings[:, 0], 2), arousal=np.repeat(ratings[:, 1], 2)), label
    )


def features(design, slope=0.0, seed=0):
    """[N, 2, S, D]: noise, and in uncond a direction for the rating."""
    rng = np.random.default_rng(seed)
    x = clustered(design, (2, S, D), 0.5, rng)
    x[:, 1] += slope * design.samples["valence"].to_numpy()[:, None, None] * rng.normal(size=D)
    return x


def clips(design, seed=1, slope=0.0):
    rng = np.random.default_rng(seed)
    values = clustered(design, (2,), 0.5, rng)
    values[:, 0] += slope * design.samples["valence"].to_numpy()
    return clip_table(design, values, ["loudness", "tempo"])


def per_layer(design, gram):
    """Table of every per-layer analysis that is of the contrast."""
    return {
        "similarity": analysed(similarity, gram, design, **SIZES).table,
        "discriminability": analysed(discriminability, gram, design, **SIZES).table,
        "emergence": analysed(emergence, gram, design, **SIZES).table,
        "generalisation": analysed(generalisation, gram, design, **SIZES).table,
        "dimensions": analysed(dimensions, gram, design, **SIZES).table,
        "sound": analysed(sound, gram, design, clips=clips(design), **SIZES).table,
        "sound_and_label": analysed(sound_and_label, gram, design, clips=clips(design), **SIZES).table,
    }


@pytest.fixture(scope="module")
def of_rating():
    design = graded()
    return design, per_layer(design, Measured(features(design, slope=4), design))


def test_every_analysis_tests_a_rating(of_rating):
    for name, table in of_rating[1].items():
        tested = table.dropna(subset=["p"])
        assert len(tested), name
        assert (tested["p_corrected"] >= tested["p"] - 1e-9).all(), name
        untested = table[table["p"].isna()]
        assert untested["null"].str.startswith("none: ").all(), name


def test_a_rating_that_the_states_follow_is_found_by_the_correlation_of_their_pairs(of_rating):
    table = rows(of_rating[1]["similarity"], measure="centred", window="whole")
    found = rows(table, statistic=RATING_OTHER_SEED).set_index("branch")
    assert found.loc["uncond", "p_corrected"] <= 0.05
    assert found.loc["uncond", "ci_lo"] > 0
    assert found.loc["cond", "p_corrected"] > 0.05
    assert rows(table, statistic=RATING_SAME_SEED)["p"].isna().all()
    assert not table["statistic"].str.startswith("emotion effect").any()


def test_the_correlation_of_pairs_is_pearsons(of_rating):
    """Of pairs of prompts: mean cosines of their clips with one seed, about their template."""
    design, tables = of_rating
    x, block = features(design, slope=4)[:, 1].mean(axis=1), design.block_of[design.prompt_of]
    same_block = np.equal.outer(block, block)
    unit = x - same_block @ x / same_block.sum(axis=1, keepdims=True)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    by_seed = unit[design.rows]  # [P, R, D]
    cosines = np.einsum("prd,qrd->pq", by_seed, by_seed) / 2
    i, j = np.nonzero(np.triu(np.not_equal.outer(design.block_of, design.block_of)))
    rating = design.targets[:, 0]
    expected = -pearsonr(cosines[i, j], np.abs(rating[i] - rating[j])).statistic
    table = rows(tables["similarity"], measure="centred", window="whole", branch="uncond")
    found = rows(table, statistic=RATING_SAME_SEED)["estimate"].item()
    assert found == pytest.approx(expected, abs=1e-4)


def test_f_of_a_dimension_is_that_of_the_slope(of_rating):
    design, tables = of_rating
    centring = np.eye(16) - np.equal.outer(design.block_of, design.block_of) / 4
    means = centring @ features(design, slope=4)[design.rows][:, :, 1].mean(axis=(1, 2))
    rating = centring @ design.targets[:, 0]
    found = rows(tables["dimensions"], branch="uncond", statistic=BY_DIMENSION)["f"].to_numpy()
    for k in range(D):
        # Template means took 3 of the 14 degrees of freedom that a slope leaves.
        t = linregress(rating, means[:, k])
        assert found[k] == pytest.approx((t.slope / t.stderr) ** 2 * 11 / 14, rel=1e-3)


def test_two_emotions_and_their_ratings_are_one_question():
    """Where there are two labels, what they explain and what ratings explain is the same."""
    by_name, by_rating = (
        make_design(4, 2, ("happy", "sad"), ratings=TWO, label=one) for one in ("emotion", "valence")
    )
    gram = Measured(features(by_name, slope=0.5), by_name)
    named, rated = per_layer(by_name, gram), per_layer(by_rating, gram)
    for name, where in (("dimensions", {}), ("sound_and_label", {}), ("sound", {"statistic": BEYOND})):
        columns = ["estimate", "p", "p_corrected"]
        one, two = (rows(tables[name], **where)[columns].to_numpy(float) for tables in (named, rated))
        np.testing.assert_allclose(one, two, atol=1e-5, err_msg=name)
    values = clips(by_name, slope=2)
    designs = sized(by_name, **SIZES), sized(by_rating, **SIZES)
    anova = [rows(audio_check(values, one, model="m").effects, statistic=ANOVA) for one in designs]
    np.testing.assert_allclose(anova[0]["estimate"], anova[1]["estimate"])
    np.testing.assert_allclose(anova[0]["p"], anova[1]["p"])


def test_the_sound_is_correlated_with_a_rating_and_nothing_is_classified():
    design = sized(graded())
    result = audio_check(clips(design, slope=5), design, model="m")
    found = rows(result.effects, statistic=SLOPE).set_index("feature")
    assert found.loc["loudness", "p_corrected"] <= 0.05 < found.loc["tempo", "p_corrected"]
    assert found.loc["loudness", "ci_lo"] > 0
    assert "Hedges g" not in set(result.effects["statistic"])
    assert result.classification["null"].str.contains("valence is a rating").all()
    assert (
        result.verdict["verdict"].item().startswith("The audio goes with valence, most clearly its loudness")
    )
    still = audio_check(clips(design), design, model="m").verdict
    assert "not shown to go with valence" in still["verdict"].item()


def test_equal_ratings_give_reasons():
    design = make_design(
        3, ratings=dict.fromkeys(("happy", "sad", "calm", "energetic"), (0.5, 0.5)), label="valence"
    )
    for name, table in per_layer(design, Measured(features(design), design)).items():
        of_label = table[
            ~table["statistic"].str.contains(
                "sound|share of what the label leaves|held-out R²|rotations|prompt effect|seed effect",
                regex=True,
            )
        ]
        assert of_label["p"].isna().all(), name
    assert "cannot be tested" in audio_check(clips(design), design, model="m").verdict["verdict"].item()


def test_a_control_moves_emotions_and_ratings_together(tmp_path):
    table = sheet(5, ratings={name: (k, -k) for k, name in enumerate(("happy", "sad", "calm", "energetic"))})
    control = Design(table, seed=3).shuffled()
    assert (control.labels != Design(table).labels).any()
    assert control.samples.groupby("emotion")["valence"].nunique().eq(1).all()
    assert (control.samples["valence"] == -control.samples["arousal"]).all()
    write_design(sized(control, 19), tmp_path / "design.h5")
    of_arousal = read_design(table, tmp_path / "design.h5", "arousal")
    assert of_arousal.label == "arousal"
    assert (of_arousal.samples["arousal"] == control.samples["arousal"]).all()
    assert of_arousal.permutation_hash(19) == control.permutation_hash(19)
