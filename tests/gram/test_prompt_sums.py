"""Sums over prompts: equal to loops over pairs of samples, and enough for every test of a layer."""

import numpy as np
import pytest
from fakes import Measured, make_design

from innerear.gram import prompt_sums
from innerear.gram.prompt_sums import ALL, GRAM, SAME, Prompts, read_sums, unpacked
from innerear.gram.reading import cosine, raw_gram, window_products
from innerear.statistics.design import Design
from innerear.statistics.design.prompt_pairs import PromptPairs
from innerear.statistics.label_distance import Distance, kernel_of_prompts

BRANCH = "uncond"


def own_seeds(design):
    """The design with seeds of each template's own."""
    number = np.array([int(name[1:]) for name in design.samples["template"]])
    return design.samples.assign(seed=design.samples["seed"] + 3 * number)


@pytest.fixture(scope="module", params=["crossed", "own seeds", "other order"])
def study(request):
    """Samples of crossed seeds, of seeds of each template's own, and in another order; their Gram file."""
    design, rng = make_design(4, 3), np.random.default_rng(0)
    x = rng.normal(size=(design.n_samples, 2, 5, 9)) + 3 * rng.normal(size=9)
    samples = design.samples
    if request.param == "own seeds":
        samples = own_seeds(design)
    if request.param == "other order":
        samples = samples.sample(frac=1, random_state=0).reset_index(drop=True)

    class Sheet:
        """What `Measured` asks of a design."""

    sheet = Sheet()
    sheet.samples = samples
    return samples, Measured(x.astype(np.float32), sheet)


def expected(samples, matrix, same):
    """Sums of a matrix [N, N] by a loop over pairs of samples."""
    ids = list(dict.fromkeys(samples["prompt_id"]))
    sums = np.zeros((len(ids), len(ids)))
    for i, (p, r) in enumerate(zip(samples["prompt_id"], samples["seed"], strict=True)):
        for j, (q, s) in enumerate(zip(samples["prompt_id"], samples["seed"], strict=True)):
            sums[ids.index(p), ids.index(q)] += matrix[i, j] if not same or r == s else 0
    return sums


@pytest.mark.parametrize("pairs", [ALL, SAME])
def test_sums_equal_a_loop_over_pairs_of_samples(study, pairs):
    samples, gram = study
    inner = gram.read("gram", branch=BRANCH)[2].astype(float)
    templates = np.equal.outer(samples["template"].to_numpy(), samples["template"].to_numpy())
    remove = np.eye(len(samples)) - templates / templates.sum(axis=1)
    raw = raw_gram(*(gram.read(name, branch=BRANCH)[2] for name in ("gram", "mean_product", "mean_norm")))
    matrices = {
        GRAM: inner,
        prompt_sums.TEMPLATE: cosine(remove @ inner @ remove),
        prompt_sums.CENTRED: cosine(inner),
        prompt_sums.SCORED: gram.read("standardised", branch=BRANCH)[2],
        prompt_sums.RAW: cosine(raw),
    }
    for measure, matrix in matrices.items():
        got = read_sums(gram, BRANCH, measure, pairs)[2]
        np.testing.assert_allclose(got, expected(samples, matrix, pairs == SAME), atol=2e-4, err_msg=measure)


def test_sums_of_windows_are_those_of_their_gram(study):
    samples, gram = study
    got = read_sums(gram, BRANCH, GRAM)[5]  # after five steps, the whole clip
    whole = window_products(gram, BRANCH)
    np.testing.assert_allclose(got, expected(samples, whole, same=False), atol=1e-4)
    got = read_sums(gram, BRANCH, prompt_sums.SCORED)[5]
    scored = cosine(window_products(gram, BRANCH, standardised=True))
    np.testing.assert_allclose(got, expected(samples, scored, same=False), atol=1e-4)


def test_the_distance_from_sums_has_the_p_of_the_distance_from_all_pairs(study):
    """Also from float32 sums: relabelings that only rename tie."""
    samples, gram = study
    design = Design(samples.sort_values("sample_id"), n_permutations=300)
    if list(design.samples["sample_id"]) != list(samples["sample_id"]):
        design = Design(samples, n_permutations=300)
    distance, seeds = Distance(design), np.asarray(samples["seed"])
    inner = gram.read("gram", branch=BRANCH).astype(float)
    other = inner * np.not_equal.outer(seeds, seeds)
    n_other = 6 if samples["seed"].nunique() == 3 else 9  # of 9 pairs of seeds of two templates
    direct = kernel_of_prompts(other, design) * 9 / n_other
    sums = PromptPairs(design).other_mean(
        *(read_sums(gram, BRANCH, GRAM, pairs)[:5] for pairs in (ALL, SAME))
    )
    off = PromptPairs(design).exchangeable
    np.testing.assert_allclose(sums[:, off], direct[:, off], atol=1e-4)
    moved = np.vstack([np.arange(design.n_prompts), design.prompt_permutations()])
    p = []
    for kernel in (sums, direct):
        values = np.array([(distance.weights[row][:, row] * kernel).sum(axis=(1, 2)) for row in moved])
        p.append((values[1:] >= values[0] - 1e-5 * values.std(axis=0)).sum(axis=0))
    assert p[0].tolist() == p[1].tolist()


def test_other_seeds_are_counted_by_the_seeds_that_templates_share():
    design = make_design(3, 2)
    pairs = PromptPairs(design)
    assert pairs.seeds_differ
    assert (pairs.n_same == 2).all()
    assert not PromptPairs(make_design(3, 1)).seeds_differ
    every, same = np.full((1, 12, 12), 8.0), np.full((1, 12, 12), 2.0)
    assert (pairs.other_mean(every, same) == 3).all()
    alone = PromptPairs(make_design(3, 1))
    assert (alone.other_mean(every, same) == 8).all()
    assert "no other" in alone.compared


def test_a_triangle_unpacks_to_a_symmetric_matrix():
    matrix = np.random.default_rng(0).normal(size=(2, 6, 6))
    matrix = matrix + matrix.swapaxes(1, 2)
    i, j = np.triu_indices(6)
    np.testing.assert_array_equal(unpacked(matrix[:, i, j]), matrix)


def test_prompts_are_numbered_as_in_a_design():
    design = make_design(4, 2)
    prompts = Prompts.of(design.samples)
    np.testing.assert_array_equal(prompts.prompt_of, design.prompt_of)
    assert prompts.n == design.n_prompts
    alone = Prompts.of(design.samples.assign(template=""))
    assert not alone.template_of.any()
