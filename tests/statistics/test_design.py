"""Design: what is exchanged, what is kept whole, and what is refused."""

from itertools import permutations

import numpy as np
import pandas as pd
import pytest

from innerear.errors import InputError
from innerear.statistics.design import Design
from innerear.statistics.design_file import read_design, summary, write_design
from innerear.statistics.significance import against_null, correct_over, max_t, null_table, record

EMOTIONS = ("happy", "sad", "calm", "energetic")


def sheet(n_templates=5, emotions=EMOTIONS, n_seeds=4, templates=True):
    rows = [
        (f"t{t}-{emotion}/seed-{seed}", f"t{t}-{emotion}", f"t{t}" if templates else "", emotion, seed)
        for emotion in emotions
        for t in range(n_templates)
        for seed in range(n_seeds)
    ]
    return pd.DataFrame(rows, columns=["sample_id", "prompt_id", "template", "emotion", "seed"])


@pytest.mark.parametrize("templates", [True, False])
def test_permutations_move_whole_prompts_and_keep_seeds_and_blocks(templates):
    design = Design(sheet(templates=templates), seed=3)
    table = design.permutations(200)
    assert table.shape == (200, 80)
    for row in table:
        np.testing.assert_array_equal(np.sort(row), np.arange(80))
        np.testing.assert_array_equal(design.seed_of[row], design.seed_of)
        stand_in = design.prompt_of[row][design.rows]  # [P, R]
        assert (stand_in == stand_in[:, :1]).all()
        if templates:
            block = design.block_of[design.prompt_of]
            np.testing.assert_array_equal(block[row], block)


def test_labels_do_move():
    design = Design(sheet())
    moved = design.labels[design.permutations(500)] != design.labels
    # Within a template of four labels a prompt keeps its own with probability 1/4.
    assert abs(moved.mean() - 0.75) < 0.02
    assert (moved.mean(axis=0) > 0.6).all()


def test_rows_in_another_order_mean_the_same_design():
    samples = sheet()
    order = np.random.default_rng(0).permutation(len(samples))
    shuffled = Design(samples.iloc[order])
    assert shuffled.relabelings == Design(samples).relabelings
    row = shuffled.permutations(5)[4]
    np.testing.assert_array_equal(shuffled.seed_of[row], shuffled.seed_of)


def test_one_table_per_study_seed():
    design = Design(sheet(), seed=1)
    np.testing.assert_array_equal(design.permutations(50), Design(sheet(), seed=1).permutations(50))
    np.testing.assert_array_equal(design.permutations(50), design.permutations(80)[:50])
    assert design.permutation_hash(50) != Design(sheet(), seed=2).permutation_hash(50)
    before = design.permutation_hash(50)
    design.bootstraps(10)
    assert design.permutation_hash(50) == before


def count_by_hand(samples):
    """Enumerate all relabelings of a small sheet, names of labels apart."""
    design = Design(samples)
    found = set()
    members = [np.flatnonzero(design.block_of == block) for block in range(design.n_blocks)]

    def walk(block, labels):
        if block == len(members):
            renamed = {label: i for i, label in enumerate(dict.fromkeys(labels))}
            found.add(tuple(renamed[label] for label in labels))
            return
        for order in permutations(design.prompt_labels[members[block]]):
            placed = list(labels)
            for prompt, label in zip(members[block], order, strict=True):
                placed[prompt] = label
            walk(block + 1, placed)

    walk(0, [""] * design.n_prompts)
    return len(found)


@pytest.mark.parametrize(
    "samples",
    [
        sheet(2, n_seeds=1, templates=False),
        sheet(2, n_seeds=1),
        sheet(3, ("happy", "sad"), 1),
        sheet(3, n_seeds=1).iloc[:-1],
        sheet(3, ("happy", "sad", "calm"), 1, templates=False).iloc[:-1],
    ],
)
def test_distinct_relabelings_are_counted_exactly(samples):
    assert Design(samples).relabelings == count_by_hand(samples)


def test_smallest_p_is_what_the_design_can_reach():
    assert Design(sheet(2, templates=False)).relabelings == 105
    assert Design(sheet(3, templates=False)).relabelings == 15400
    assert Design(sheet(2, templates=False)).smallest_p(1000) == pytest.approx(1 / 105)
    assert Design(sheet(5)).smallest_p(1000) == pytest.approx(1 / 1001)
    assert Design(sheet(2)).smallest_p(1000) == pytest.approx(1 / 24)
    assert Design(sheet(2)).smallest_p(1000, of="pairs") == pytest.approx(1 / 576)


@pytest.mark.parametrize(
    ("samples", "reason"),
    [
        (sheet(1), "one prompt per emotion"),
        (sheet(1, templates=False), "one prompt per emotion"),
        (sheet(3, ("happy",)), "one emotion"),
        (sheet(4).assign(template=lambda d: d.emotion), "no template holds two"),
    ],
)
def test_no_null_no_p(samples, reason):
    design = Design(samples)
    assert not design.can_test
    assert reason in design.why_not(100)
    assert np.isnan(design.smallest_p(100))
    result = design.test(np.array([3.0]), np.zeros((100, 1)))
    assert np.isnan(result.p).all()
    assert np.isnan(result.p_corrected).all()


def test_folds_are_whole_templates_and_hold_every_emotion():
    design = Design(sheet())
    folds = design.folds()
    assert len(folds) == 5
    for fold in folds:
        assert not set(design.prompt_of[fold.train]) & set(design.prompt_of[fold.test])
        assert len(set(design.samples["template"].iloc[fold.test])) == 1
        assert set(design.labels[fold.test]) == set(EMOTIONS)
    np.testing.assert_array_equal(np.sort(np.concatenate([f.test for f in folds])), np.arange(80))
    inner = design.subset(folds[0].train).folds()
    assert len(inner) == 4


@pytest.mark.parametrize("n", [3, 25])
def test_folds_without_templates_are_prompt_groups_by_label(n):
    design = Design(sheet(n, templates=False, n_seeds=2))
    folds = design.folds()
    assert len(folds) == min(n, 10)
    for fold in folds:
        assert not set(design.prompt_of[fold.train]) & set(design.prompt_of[fold.test])
        assert set(design.labels[fold.test]) == set(EMOTIONS)


def test_folds_that_cannot_be_made_are_refused():
    with pytest.raises(InputError, match="add a template"):
        Design(sheet(1)).folds()


def test_bootstraps_resample_templates_then_seeds_never_rows():
    design = Design(sheet())
    counts = design.bootstraps(300).samples()
    np.testing.assert_array_equal(counts.sum(axis=1), 80)
    cube = counts[:, design.rows]  # [m, P, R]
    for block in range(design.n_blocks):
        members = cube[:, design.block_of == block]
        assert (members == members[:, :1]).all()
    # Each count is a product of a template's and a seed's, so the tables have rank one.
    first = cube.reshape(300, -1, 4)
    assert all(np.linalg.matrix_rank(one) == 1 for one in first)
    assert (counts == 0).any()


def test_bootstraps_without_templates_keep_every_label():
    design = Design(sheet(3, templates=False))
    counts = design.bootstraps(200).samples()
    for emotion in EMOTIONS:
        np.testing.assert_array_equal(counts[:, design.labels == emotion].sum(axis=1), 12)


@pytest.mark.parametrize("templates", [True, False])
def test_pairs_weigh_what_they_share_once(templates):
    """Build each resample copy by copy, and count the pairs within copies of what is shared."""
    design = Design(sheet(3, ("happy", "sad"), 3, templates=templates))
    bootstraps, strata = design.bootstraps(20), np.triu(design.strata())
    i, j = np.nonzero(strata)
    weights = bootstraps.pairs(i, j)
    units, seeds = bootstraps.units.astype(int), bootstraps.seeds.astype(int)
    for m in range(20):
        for k in range(len(i)):
            copies = [
                (a, b, r, s)
                for a in range(units[m, bootstraps.unit_of[i[k]]])
                for b in range(units[m, bootstraps.unit_of[j[k]]])
                for r in range(seeds[m, design.seed_of[i[k]]])
                for s in range(seeds[m, design.seed_of[j[k]]])
                if (a == b or bootstraps.unit_of[i[k]] != bootstraps.unit_of[j[k]])
                and (r == s or design.seed_of[i[k]] != design.seed_of[j[k]])
            ]
            assert weights[m, k] == len(copies)
    np.testing.assert_array_equal(bootstraps.pairs(i, j, slice(3, 5)), weights[3:5])
    assert set(strata[i, j]) == {1, 2, 3, 4, 5}


@pytest.mark.parametrize("templates", [True, False])
def test_shuffles_move_prompts_within_blocks_column_by_column(templates):
    design = Design(sheet(3, n_seeds=2, templates=templates))
    drawn = list(design.shuffles(40, 6))
    for table in drawn:
        np.testing.assert_array_equal(np.sort(table, axis=0), np.tile(np.arange(24)[:, None], 6))
        assert (design.seed_of[table] == design.seed_of[:, None]).all()
        stand_in = design.prompt_of[table][design.rows]  # [P, R, columns]
        assert (stand_in == stand_in[:, :1]).all()
        if templates:
            block = design.block_of[design.prompt_of]
            assert (block[table] == block[:, None]).all()
    assert (drawn[0] != drawn[0][:, :1]).any()
    np.testing.assert_array_equal(drawn[1], list(design.shuffles(2, 6))[1])


def test_clip_permutations_move_each_seed_by_itself_within_its_block():
    design = Design(sheet(n_templates=2), seed=3)
    table = design.clip_permutations(200, "history")
    block = design.block_of[design.prompt_of]
    for row in table:
        np.testing.assert_array_equal(np.sort(row), np.arange(32))
        np.testing.assert_array_equal(design.seed_of[row], design.seed_of)
        np.testing.assert_array_equal(block[row], block)
    stand_in = design.prompt_of[table][:, design.rows]  # [m, P, R]
    assert (stand_in == stand_in[..., :1]).all(axis=-1).mean() < 0.1
    # Every prompt stands in for every other of its block equally often.
    assert np.mean(stand_in == np.arange(8)[:, None]) == pytest.approx(1 / 4, abs=0.02)
    np.testing.assert_array_equal(design.clip_permutations(50, "history"), table[:50])
    assert (design.clip_permutations(200, "text") != table).any()


def test_renamings_are_one_for_all_prompts():
    names = Design(sheet(), seed=3).renamings(500)
    assert names.shape == (500, 4)
    assert (np.sort(names, axis=1) == np.arange(4)).all()
    assert len(np.unique(names, axis=0)) == 24


@pytest.mark.parametrize(("n_seeds", "smallest"), [(2, 1 / 4), (3, 1 / 16), (9, 1 / 1001)])
def test_smallest_p_of_clips_counts_what_seeds_can_do_apart(n_seeds, smallest):
    design = Design(sheet(n_templates=2, emotions=("happy", "sad"), n_seeds=n_seeds))
    assert design.smallest_p(1000, of="clips") == pytest.approx(smallest)
    assert design.smallest_p(1000, of="names") == 1 / 2


def test_one_seed_has_no_null_of_clips():
    design = Design(sheet(n_seeds=1))
    assert np.isnan(design.smallest_p(100, of="clips"))
    assert "one seed" in design.why_not(100, of="clips")
    assert not design.why_not(100, of="names")
    alone = Design(sheet(emotions=("happy",)))
    assert "one emotion" in alone.why_not(100, of="names")


def test_no_permutations_no_p():
    design = Design(sheet())
    assert "no permutations" in design.why_not(0)
    assert np.isnan(design.smallest_p(0))
    assert np.isnan(design.test(np.array([3.0]), np.zeros((0, 1))).p).all()
    assert "one prompt" in Design(sheet(1, ("happy",))).why_not(9, of="pairs")
    assert np.isnan(Design(sheet(1, ("happy",))).smallest_p(9, of="pairs"))


def test_cells_without_a_p_are_recorded_as_not_tested():
    result = against_null(np.array([3.0, np.nan]), np.random.default_rng(0).normal(size=(19, 2)))
    table = pd.DataFrame({"p": [np.nan] * 3, "p_corrected": np.nan, "score": np.nan, "n_perm": 0})
    table = table.assign(min_p=np.nan, null="", family="")
    record(
        table, np.array([2, 0]), result, min_p=0.05, null="moved", family="both", why_not=["", "no variance"]
    )
    assert table["n_perm"].tolist() == [0, 0, 19]
    assert table["null"].tolist() == ["none: no variance", "", "moved"]
    assert table["family"].tolist() == ["", "", "both"]
    assert table["min_p"].notna().tolist() == table["p"].notna().tolist() == [False, False, True]


def test_strata_by_definition():
    design = Design(sheet(3, n_seeds=2))
    strata, samples = design.strata(), design.samples
    for i in range(len(samples)):
        for j in range(len(samples)):
            a, b = samples.iloc[i], samples.iloc[j]
            if i == j or (a.template == b.template and a.prompt_id != b.prompt_id):
                expected = 0
            elif a.prompt_id == b.prompt_id:
                expected = 1
            else:
                expected = (2 if a.emotion == b.emotion else 4) + (a.seed != b.seed)
            assert strata[i, j] == expected
    counts = [(strata == k).sum() for k in range(1, 6)]
    assert counts == [24, 48, 48, 144, 144]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.drop(columns="emotion"), "no column 'emotion'"),
        (lambda d: d.iloc[1:], "0 samples with seed 0"),
        (lambda d: pd.concat([d, d.iloc[:1]]), "2 samples with seed 0"),
        (lambda d: d.assign(template=["", *d.template[1:]]), "has no template"),
        (lambda d: d.assign(emotion=["sad", *d.emotion[1:]]), "two values of 'emotion'"),
        (lambda d: d.iloc[:0], "empty"),
    ],
)
def test_bad_sheets_are_refused_with_the_offending_value(change, message):
    with pytest.raises(InputError, match=message):
        Design(change(sheet()))


def test_measurements_in_another_order_are_refused():
    design = Design(sheet())
    ids = list(design.samples["sample_id"])
    design.check_order(ids)
    with pytest.raises(InputError, match="'t0-happy/seed-1' stands where 't0-happy/seed-0' should"):
        design.check_order([ids[1], ids[0], *ids[2:]])
    with pytest.raises(InputError, match="79 samples"):
        design.check_order(ids[:-1])


def test_p_counts_the_observed_one():
    result = against_null(np.array([10.0, 0.0, np.nan]), np.random.default_rng(0).normal(size=(99, 3)))
    assert result.p[0] == pytest.approx(1 / 100)
    assert result.p_corrected[0] == pytest.approx(1 / 100)
    assert 0.2 < result.p[1] < 0.8
    assert np.isnan(result.p[2])
    assert against_null(np.array([10.0]), np.zeros((99, 1)), smallest=0.2).p[0] == 0.2
    assert np.isnan(result.p_corrected[2])


def test_max_t_is_the_p_against_the_family():
    rng = np.random.default_rng(1)
    observed, null = rng.normal(size=20) + 1, rng.normal(size=(199, 20))
    result = against_null(observed, null)
    pooled = np.vstack([observed, null])
    z = (pooled - pooled.mean(0)) / pooled.std(0)
    expected = (1 + (z[1:].max(1)[:, None] >= z[0]).sum(0)) / 200
    np.testing.assert_allclose(result.p_corrected, expected)
    assert (result.p_corrected >= result.p).all()


def test_correction_over_layers_equals_one_family():
    rng = np.random.default_rng(2)
    observed, null = rng.normal(size=(3, 7)) + 1.5, rng.normal(size=(99, 3, 7))
    tables, nulls = [], []
    for layer in range(3):
        result = against_null(observed[layer], null[:, layer])
        tables.append(
            pd.DataFrame(
                {
                    "branch": "cond",
                    "score": result.score,
                    "p_corrected": result.p_corrected,
                    "min_p": 0.01,
                    "family": "layer",
                }
            )
        )
        nulls.append(null_table([({"branch": "cond"}, result.null_max)], "abc", ["branch"], 99))
    joined = correct_over(tables, nulls, ["branch"], "layers × steps")
    whole = against_null(observed.ravel(), null.reshape(99, -1))
    np.testing.assert_allclose(joined["p_corrected"], whole.p_corrected)
    np.testing.assert_allclose(joined["p_corrected"], max_t(joined["score"], whole.null_max))
    nulls[1]["permutations"] = "other"
    with pytest.raises(InputError, match="different permutation tables"):
        correct_over(tables, nulls, ["branch"], "layers × steps")


# ---- ratings, controls, the shared table -----------------------------------------------------------

RATING = {"happy": 0.8, "sad": -0.7, "calm": 0.5, "energetic": 0.4}


def rated(**options):
    samples = sheet(**options)
    return samples.assign(valence=[RATING[emotion] for emotion in samples["emotion"]])


def test_a_column_of_numbers_is_a_rating():
    design = Design(rated(), label="valence")
    assert design.numeric
    np.testing.assert_array_equal(
        design.targets[:, 0], [RATING[name] for name in Design(sheet()).prompt_labels]
    )
    # Ratings have no names to exchange: 4! ways in each of 5 templates.
    assert design.relabelings == 24**5
    assert Design(sheet()).relabelings == 24**4


def test_ratings_without_templates_have_folds_that_span_them():
    samples = sheet(n_templates=5, templates=False)
    number = {prompt: i for i, prompt in enumerate(dict.fromkeys(samples["prompt_id"]))}
    design = Design(samples.assign(arousal=[number[p] / 20 for p in samples["prompt_id"]]), label="arousal")
    assert design.why_not(100) == ""
    folds = design.folds()
    assert len(folds) == 10
    for fold in folds:
        assert np.ptp(design.targets[design.prompt_of[fold.test], 0]) >= 0.4


def test_a_missing_rating_is_refused():
    samples = rated()
    samples.loc[samples["prompt_id"] == "t1-sad", "valence"] = np.nan
    with pytest.raises(InputError, match=r"'t1-sad' has no 'valence'"):
        Design(samples, label="valence")


def test_shuffled_labels_stay_within_templates_and_differ():
    design = Design(sheet())
    control = design.shuffled()
    assert (control.labels != design.labels).mean() > 0.3
    for block in range(design.n_blocks):
        assert sorted(control.prompt_labels[design.block_of == block]) == sorted(EMOTIONS)
    np.testing.assert_array_equal(control.labels, design.shuffled().labels)


@pytest.mark.parametrize(("label", "shuffle"), [("emotion", False), ("valence", False), ("emotion", True)])
def test_the_stored_design_is_the_drawn_one(tmp_path, label, shuffle):
    design = Design(rated(), label=label, seed=5)
    design = design.shuffled() if shuffle else design
    write_design(design, 99, tmp_path / "design.h5")
    again = read_design(rated(), tmp_path / "design.h5")
    np.testing.assert_array_equal(again.labels, design.labels)
    np.testing.assert_array_equal(again.permutations(99), design.permutations(99))
    assert again.permutation_hash(50) == design.permutation_hash(50)
    values = summary(again, 99).set_index("property")["value"]
    assert values["smallest p"] == "0.01"
    assert values["folds"] == "5"
    with pytest.raises(InputError, match="stands where"):
        read_design(rated().iloc[::-1], tmp_path / "design.h5")


def test_permutations_that_leave_their_block_are_refused():
    design = Design(sheet())
    with pytest.raises(InputError, match="not of this design's blocks"):
        design.share(Design(sheet(templates=False)).permutations(20))
