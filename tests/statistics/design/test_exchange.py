"""What is exchanged, and how small a p that allows."""

from functools import partial
from itertools import permutations

import fakes
import numpy as np
import pytest

from innerear.errors import InputError
from innerear.statistics.design import Design
from innerear.statistics.significance import against_null

sheet = partial(fakes.sheet, n_seeds=4)


@pytest.mark.parametrize("templates", [True, False])
def test_permutations_move_whole_prompts_and_keep_seeds_and_blocks(templates):
    design = Design(sheet(templates=templates), seed=3)
    table = design.permutations(200)
    assert table.shape == (200, 80)
    for row in table:
        np.testing.assert_array_equal(np.sort(row), np.arange(80))
        np.testing.assert_array_equal(design.seed_of[row], design.seed_of)
        np.testing.assert_array_equal(design.groups[row], design.groups)
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
        sheet(3, n_seeds=1, emotions=("happy", "sad")),
        sheet(3, n_seeds=1).iloc[:-1],
        sheet(3, n_seeds=1, emotions=("happy", "sad", "calm"), templates=False).iloc[:-1],
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
        (sheet(3, emotions=("happy",)), "one emotion"),
        (sheet(4).assign(template=lambda d: d.emotion), "no template holds two"),
    ],
)
def test_no_null_no_p(samples, reason):
    design = Design(samples)
    assert not design.can_test
    assert reason in design.why_not(100)
    assert np.isnan(design.smallest_p(100))
    result = against_null(np.array([3.0]), np.zeros((100, 1)), smallest=design.smallest_p(100))
    assert np.isnan(result.p).all()
    assert np.isnan(result.p_corrected).all()


def test_no_permutations_no_p():
    design = Design(sheet())
    assert "no permutations" in design.why_not(0)
    assert np.isnan(design.smallest_p(0))
    assert np.isnan(against_null(np.array([3.0]), np.zeros((0, 1)), smallest=design.smallest_p(0)).p).all()
    assert "one prompt" in Design(sheet(1, emotions=("happy",))).why_not(9, of="pairs")
    assert np.isnan(Design(sheet(1, emotions=("happy",))).smallest_p(9, of="pairs"))


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


def test_permutations_that_leave_their_block_are_refused():
    design = Design(sheet())
    with pytest.raises(InputError, match="not of this design's blocks"):
        design.use_table(Design(sheet(templates=False)).permutations(20))
