"""p-values against a null, alone and over maps."""

import numpy as np
import pandas as pd
import pytest

from innerear.errors import InputError
from innerear.statistics.significance import against_null, correct_over, max_t, null_table, write_test


def test_cells_without_a_p_are_recorded_as_not_tested():
    result = against_null(np.array([3.0, np.nan]), np.random.default_rng(0).normal(size=(19, 2)))
    table = pd.DataFrame({"p": [np.nan] * 3, "p_corrected": np.nan, "score": np.nan, "n_perm": 0})
    table = table.assign(min_p=np.nan, null="", family="")
    write_test(
        table, np.array([2, 0]), result, min_p=0.05, null="moved", family="both", why_not=["", "no variance"]
    )
    assert table["n_perm"].tolist() == [0, 0, 19]
    assert table["null"].tolist() == ["none: no variance", "", "moved"]
    assert table["family"].tolist() == ["", "", "both"]
    assert table["min_p"].notna().tolist() == table["p"].notna().tolist() == [False, False, True]


def test_p_counts_the_observed_one():
    result = against_null(np.array([10.0, 0.0, np.nan]), np.random.default_rng(0).normal(size=(99, 3)))
    assert result.p[0] == pytest.approx(1 / 100)
    assert result.p_corrected[0] == pytest.approx(1 / 100)
    assert 0.2 < result.p[1] < 0.8
    assert np.isnan(result.p[2])
    assert against_null(np.array([10.0]), np.zeros((99, 1)), smallest=0.2).p[0] == 0.2
    assert np.isnan(result.p_corrected[2])


def test_no_p_is_smaller_than_the_design_allows():
    result = against_null(np.array([9.0]), np.zeros((999, 1)), smallest=0.1)
    assert result.p[0] == result.p_corrected[0] == 0.1


@pytest.mark.parametrize(("gap", "p"), [(1e-6, 1.0), (1e-4, 0.01)])
def test_scores_that_differ_by_rounding_are_ties_and_others_are_not(gap, p):
    """Scores as R²: equal data in another order of float32 sums, and one that is better by 1e-4."""
    result = against_null(np.array([0.5]), np.full((99, 1), 0.5 - gap), standardise=False)
    assert result.p[0] == result.p_corrected[0] == pytest.approx(p)
    assert max_t(np.array([0.5]), np.full(99, 0.5 - gap))[0] == pytest.approx(p)


@pytest.mark.parametrize(("gap", "p"), [(1e-6, 0.51), (1e-4, 0.01)])
@pytest.mark.parametrize("unit", [1e-6, 1.0])
def test_ties_of_flips_are_a_share_of_their_spread(gap, p, unit):
    spread = np.repeat([1.0, -1.0], [50, 49])[:, None]
    result = against_null(np.array([unit * (1 + gap)]), unit * spread, standardise=False, of_flips=True)
    assert result.p[0] == result.p_corrected[0] == pytest.approx(p)


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


def test_a_joined_map_has_no_p_smaller_than_the_design_allows():
    tables, nulls, by = [], [], ["branch"]
    for layer in range(2):
        row = {"branch": "cond", "score": 9.0 - layer, "p_corrected": 0.2, "min_p": 0.2, "family": "layer"}
        tables.append(pd.DataFrame([row]))
        nulls.append(null_table([({"branch": "cond"}, np.zeros(99))], "abc", by, 99))
    assert max_t(np.array([9.0]), np.zeros(99))[0] == 0.01
    assert correct_over(tables, nulls, by, "layers")["p_corrected"].tolist() == [0.2, 0.2]
