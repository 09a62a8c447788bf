"""A clip does not depend on the rest of its call: what fills a call up leaves no trace."""

import torch

from innerear.capture.hooks import capture

TEXTS = ["happy music", "sad music", "calm music"]


def test_rows_fill_a_call_up_and_change_nothing(tiny_model):
    alone = tiny_model.generate(TEXTS, [1, 2, 3], 0.3)
    assert alone.rows == (3, 3, 3)
    seen = []
    modules = {"residual": tiny_model.modules("residual")}
    n_steps = tiny_model.timeline(0.3).n_steps
    with capture(modules, n_steps=n_steps, pre_norm=True) as recording:

        def observe(batch, passes):
            seen.append(list(batch))
            return recording.run(batch, passes)

        filled = tiny_model.generate(TEXTS, [1, 2, 3], 0.3, rows=2, observe=observe)
    assert seen == [[0, 1], [2, -1]]
    assert filled.rows == (2, 2, 2)
    torch.testing.assert_close(filled.codes, alone.codes)
    with capture(modules, n_steps=n_steps, pre_norm=True) as expected:
        tiny_model.generate(TEXTS, [1, 2, 3], 0.3, observe=expected.run)
    torch.testing.assert_close(recording.all("residual", 2), expected.all("residual", 2), atol=1e-5, rtol=0)


def test_a_call_that_does_not_fit_is_halved_and_says_with_how_many_rows(tiny_model, monkeypatch):
    compose, sizes = tiny_model._compose, []

    def small(texts, *rest):
        sizes.append(len(texts))
        if len(texts) > 2:
            raise torch.OutOfMemoryError
        return compose(texts, *rest)

    monkeypatch.setattr(tiny_model, "_compose", small)
    made = tiny_model.generate(TEXTS, [1, 2, 3], 0.2, rows=4)
    assert sizes == [4, 2, 2]
    assert made.rows == (2, 2, 2)
