"""Features with an effect of the label, which distances and probes are compared on with the textbooks."""

import numpy as np
import pytest
from fakes import centred, clustered, codes_of, make_design


@pytest.fixture(scope="module")
def features():
    """Features [N, D] with an effect, their design, and their kernel [1, N, N]."""
    design, rng = make_design(n_templates=4), np.random.default_rng(0)
    codes = codes_of(design.labels)
    x = clustered(design, (8,), 0.5, rng) + 0.8 * rng.normal(size=(4, 8))[codes]
    return design, x, (centred(x) @ centred(x).T)[None]
