"""The race draws what a multinomial would, from each sample's own noise."""

import pytest
import torch

from innerear.models.patching import replaced
from innerear.models.sampling import Race


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


def test_top_p_keeps_a_token_whose_predecessors_sum_to_p_exactly():
    found = frequencies(draws(100_000, [0.5, 0.375, 0.125], "top_p", 0.5), 3)
    torch.testing.assert_close(found, torch.tensor([4 / 7, 3 / 7, 0]), atol=0.007, rtol=0)


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


def test_replaced_sets_back_after_an_exception():
    class Owner:
        value = 1

    owner = Owner()
    with pytest.raises(ZeroDivisionError), replaced(owner, value=2):
        assert owner.value == 2
        raise ZeroDivisionError
    assert owner.value == 1
