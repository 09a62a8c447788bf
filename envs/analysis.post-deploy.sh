#!/usr/bin/env bash
# Compile UMAP's loops, once, by one process: jobs that fill numba's cache side by side can spoil it. The loops that
# UMAP itself does not keep are those of innerear.analyses.embedding.
set -euo pipefail
python -W ignore::UserWarning - <<END
import numpy as np
from umap import UMAP, umap_, utils

for loop in (utils.fast_knn_indices, umap_.smooth_knn_dist, umap_.compute_membership_strengths):
    loop.enable_caching()
UMAP(n_neighbors=3, metric="precomputed", random_state=0, n_jobs=1).fit(1 - np.eye(16))
END
