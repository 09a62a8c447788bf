"""The race draws what a multinomial would, from each sample's own noise."""

import pytest
import torch

from innerear.models.patching import replaced
from innerear.models.sampling import Race, own_noise


def draws(n, probabilities, method="draw", *arguments):
    """Draw n times from the same row; one sample, n codebooks."""
    rows = torch.tensor(probabilities).expand(1, n, -1)
    return getattr(Race([0]), method)(rows, *arguments)[0, :, 0]


def frequencies(tokens, n_tokens):
    return torch.bincount(tokens, minlength=n_tokens) / len(tokens)


def test_frequencies_are_the_probabilities():
    probabilities = [0.5, 0.3, 0.15, 0.05, 0.0]
    found = frequencies(draws(100_000, probabilities), 5)
    # Standard error is at most sqrt(.25 / 1e5) = .0016.
    torch.testing.assert_close(found, torch.tensor(probabilities), atol=0.007, rtol=0)
    assert found[4] == 0


def test_top_k_renormalises_among_the_likeliest():
    found = frequencies(draws(100_000, [0.1, 0.4, 0.2, 0.3], "top_k", 2), 4)
    torch.testing.assert_close(found, torch.tensor([0, 4 / 7, 0, 3 / 7]), atol=0.007, rtol=0)


def test_top_k_beyond_the_vocabulary_is_all_of_it():
    assert torch.equal(draws(100, [0.25] * 4, "top_k", 250), draws(100, [0.25] * 4))


def test_top_p_keeps_the_token_that_crosses_p():
    found = frequencies(draws(100_000, [0.1, 0.5, 0.15, 0.25], "top_p", 0.6), 4)
    torch.testing.assert_close(found, torch.tensor([0, 2 / 3, 0, 1 / 3]), atol=0.007, rtol=0)


@pytest.mark.parametrize(("method", "argument"), [("top_k", 5), ("top_p", 0.8)])
def test_a_sample_draws_the_same_beside_any_other(method, argument):
    generator = torch.Generator().manual_seed(0)
    probabilities = torch.rand(3, 4, 50, generator=generator)
    together, alone = Race([7, 8, 9]), Race([8])
    for _ in range(5):
        both = getattr(together, method)(probabilities, argument)
        torch.testing.assert_close(getattr(alone, method)(probabilities[1:2], argument)[0], both[1])


def test_steps_do_not_repeat_their_noise():
    race = Race([0])
    uniform = torch.ones(1, 1, 1000)
    assert len({int(race.draw(uniform)) for _ in range(20)}) > 15


SETTINGS = {
    "guidance": 3.0,
    "two_step": False,
    "temperature": 1.0,
    "top_k": 5,
    "top_p": 0.0,
    "use_sampling": True,
}


def test_noise_is_bound_to_one_model_and_leaves_nothing(tiny_model, tiny_checkpoint):
    from audiocraft.models import lm as module

    from innerear.models import load_model

    own, other = tiny_model.musicgen.lm, load_model(tiny_checkpoint, device="cpu").musicgen.lm
    names, functions = set(vars(own)), dict(vars(module))
    with pytest.raises(ZeroDivisionError), own_noise(own, [0], SETTINGS):
        assert set(vars(own)) - names == {"_sample_next_token"}
        assert "_sample_next_token" not in vars(other)
        assert dict(vars(module)) == functions
        raise ZeroDivisionError
    assert set(vars(own)) == names
    assert dict(vars(module)) == functions


@pytest.mark.parametrize("guidance", [0.0, 1.0, 3.0])
def test_the_next_token_is_the_one_audiocraft_takes(tiny_model, guidance):
    """Greedy, where the two have no noise to differ in; one call and two."""
    lm, generation = tiny_model.musicgen.lm, {"max_gen_len": 12, "use_sampling": False}
    attributes, _ = tiny_model.musicgen._prepare_tokens_and_attributes(["happy music", "sad music"], None)
    expected = lm.generate(None, attributes, cfg_coef=guidance, **generation)
    for two_step in (False, True):
        with own_noise(lm, [0, 1], SETTINGS | {"guidance": guidance, "use_sampling": False}):
            made = lm.generate(None, attributes, two_step_cfg=two_step, **generation)
        assert torch.equal(made, expected)


def test_without_guidance_only_the_first_rows_run(tiny_model):
    lm, rows = tiny_model.musicgen.lm, []
    attributes, _ = tiny_model.musicgen._prepare_tokens_and_attributes(["happy music", "sad music"], None)
    handle = lm.transformer.register_forward_pre_hook(lambda module, inputs: rows.append(len(inputs[0])))
    try:
        with own_noise(lm, [0, 1], SETTINGS | {"guidance": None}):
            lm.generate(None, attributes, max_gen_len=3)
    finally:
        handle.remove()
    assert set(rows) == {2}


def test_replaced_sets_back_after_an_exception():
    class Owner:
        value = 1

    owner = Owner()
    with pytest.raises(ZeroDivisionError), replaced(owner, value=2):
        assert owner.value == 2
        raise ZeroDivisionError
    assert owner.value == 1
