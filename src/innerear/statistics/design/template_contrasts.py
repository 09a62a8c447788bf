"""Contrasts of labels, or slopes of ratings, within each template: sign flips change their signs.

A template's contrasts are linear in the means of its prompts: each label's mean less the template's, or the
covariance with a rating. If labels make no difference, they might as well have the opposite sign, whatever
the spread of the prompts. A covariance is taken, not a slope: a slope divides by the spread of the template's
ratings, and the templates that know least would count most.
"""

from itertools import combinations

import numpy as np

from innerear.statistics.design import Design

# A stream of random numbers of its own, apart from those of `Design`.
_ODD = 20


def label_contrasts(design: Design) -> np.ndarray:
    """Return the contrasts of each template between labels as weights of prompts, [T, Q, P].

    Q are the labels, or, where a template lacks one or holds it more often than another, the pairs of
    labels: 0 in templates that lack one of the two, and scaled by how many hold both. The mean product of two
    templates, summed over Q, is the cross-validated squared distance between two labels, averaged over the
    pairs of labels. For a rating Q is one covariance, scaled to be the distance between ratings that are two
    standard deviations apart.

    Examples
    --------
    >>> samples = pd.DataFrame({"sample_id": list("abcd"), "prompt_id": list("abcd"), "seed": 0,
    ...                         "emotion": list("xyxy"), "template": list("ssuu")})
    >>> label_contrasts(Design(samples))[0].round(2).tolist()
    [[0.71, -0.71, 0.0, 0.0], [-0.71, 0.71, 0.0, 0.0]]
    """
    if design.numeric:
        weights = covariances(design.targets, design)[0][:, None]
        size = np.sqrt((weights**2).sum() / design.n_prompts)  # the rating's spread within templates
        return weights * (2 * design.n_blocks / (design.n_prompts * size) if size > 0 else 0.0)
    of_template = np.equal.outer(np.arange(design.n_blocks), design.block_of)  # [T, P]
    members = of_template[:, None] & design.targets.T.astype(bool)  # [T, labels, P]
    count = members.sum(axis=2, keepdims=True)
    means, n_labels = members / np.maximum(count, 1), members.shape[1]
    if n_labels > 1 and (count == 1).all():
        return (means - means.mean(axis=1, keepdims=True)) * np.sqrt(2 / (n_labels - 1))
    found = np.zeros((design.n_blocks, max(n_labels * (n_labels - 1) // 2, 1), design.n_prompts))
    for number, (a, b) in enumerate(combinations(range(n_labels), 2)):
        both = ((count[:, a] > 0) & (count[:, b] > 0)).ravel()
        n, t = int(both.sum()), design.n_blocks
        if n > 1:
            scale = np.sqrt(t * (t - 1) / (n * (n - 1) * found.shape[1]))
            found[both, number] = scale * (means[both, a] - means[both, b])
    return found


def covariances(ratings: np.ndarray, design: Design) -> np.ndarray:
    """Return weights [F, T, P] that turn prompt means into each template's covariances with ratings [P, F].

    Examples
    --------
    >>> samples = pd.DataFrame({"sample_id": list("abcd"), "prompt_id": list("abcd"), "seed": 0,
    ...                         "emotion": list("xyxy"), "template": list("ssuu")})
    >>> covariances(np.array([[1.0], [3.0], [0.0], [4.0]]), Design(samples))[0].tolist()
    [[-1.0, 1.0, 0.0, 0.0], [0.0, 0.0, -2.0, 2.0]]
    """
    of_template = np.equal.outer(np.arange(design.n_blocks), design.block_of)  # [T, P]
    means = of_template @ ratings / of_template.sum(axis=1, keepdims=True)  # [T, F]
    return np.where(of_template, (ratings - means[design.block_of]).T[:, None], 0.0)


def of_features(contrasts: np.ndarray, means: np.ndarray) -> np.ndarray:
    """Multiply templates with each other, a feature at a time: [D, T, T] of [T, Q, P] and means [P, D]."""
    found = (contrasts @ means).transpose(2, 0, 1)  # [D, T, Q]
    return found @ found.swapaxes(1, 2)


def of_kernel(weights: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Multiply templates with each other, over all features: [F, T, T] of [F, T, P] and a kernel [P, P].

    In units of the mean square of the prompts, so that layers and branches are on one scale.
    """
    size = np.trace(kernel) / len(kernel)
    found = weights @ kernel @ weights.swapaxes(1, 2)
    return found / size if size > 0 else found * np.nan


def odd_flips(design: Design) -> np.ndarray:
    """Return `Design.flips` for statistics that change sign with all templates, int8 [m', T].

    Of a vector and its opposite, which `Design.flips` holds once, one is drawn; row 0 stays all ones.
    """
    flips = design.flips()
    drawn = np.random.default_rng(design.stream(_ODD)).integers(0, 2, (len(flips), 1))
    drawn[0] = 0
    return (flips * (1 - 2 * drawn)).astype(np.int8)
