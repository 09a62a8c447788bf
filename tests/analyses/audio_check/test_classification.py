"""Clips are classified by sound as by another library, and no fold sees its test."""

import numpy as np
from fakes import clustered, codes_of, make_design
from sklearn.neighbors import NearestCentroid
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from innerear.analyses.audio_check.classification import nearest_centroid


def test_classification_is_that_of_a_pipeline_fitted_within_each_fold():
    design, rng = make_design(), np.random.default_rng(5)
    codes = codes_of(design.labels)
    values = clustered(design, (4,), 0.5, rng) * [1, 10, 100, 1] + codes[:, None] * [0, 8, 0, 1]
    expected = np.empty(design.n_samples, int)
    for fold in design.folds():
        classify = make_pipeline(StandardScaler(), NearestCentroid())
        classify.fit(values[fold.train], codes[fold.train])
        expected[fold.test] = classify.predict(values[fold.test])
    assert (nearest_centroid(values, codes[None], design)[0] == expected).all()
