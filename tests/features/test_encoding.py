"""Sparse activations: what is read is what the dictionary says, to float16."""

import numpy as np
import pytest
import torch
from fake_dictionaries import dense_of, drawn
from fake_tokens import write_stack

from innerear.errors import InputError
from innerear.features.activations import Activations, write_activations
from innerear.features.encoding import encode_layer


@pytest.fixture
def encoded(tmp_path):
    states = np.random.default_rng(0).normal(size=(3, 2, 13, 4)).astype(np.float32)
    paths = [write_stack(tmp_path / f"{i}.h5", one) for i, one in enumerate(states)]
    dictionaries = {"uncond": drawn(4, 12, 3), "delta": drawn(4, 8, 2, seed=1)}
    indices, values, steps = encode_layer(paths, 0, dictionaries)
    target = tmp_path / "layer_00.h5"
    attrs = {"layer": 0}
    sizes = {branch: one.n_latents for branch, one in dictionaries.items()}
    write_activations(target, indices, values, steps, samples=list("abc"), n_latents=sizes, attrs=attrs)
    return states, dictionaries, indices, values, target


def test_activations_are_those_of_the_dictionary(encoded):
    states, dictionaries, *_, target = encoded
    with Activations(target) as file:
        assert file.branches() == ["uncond", "delta"]
        assert file.values("step").tolist() == list(range(3, 10))
        for branch, x in (("uncond", states[:, 1]), ("delta", states[:, 0] - states[:, 1])):
            one = dictionaries[branch]
            latents = (torch.from_numpy(x[2, 3:10]) @ one.encoder).relu().numpy()
            kept = np.sort(latents, axis=1)[:, -one.k][:, None]
            expected = np.where(latents >= kept, latents, 0)
            np.testing.assert_allclose(dense_of(file, branch, 2), expected, rtol=1e-3, atol=1e-6)


def test_the_file_holds_the_bits_that_were_written(encoded):
    *_, indices, values, target = encoded
    with Activations(target) as file:
        for c, branch in enumerate(file.branches()):
            which, sizes = file.sparse(branch)
            np.testing.assert_array_equal(which, indices[:, c])
            np.testing.assert_array_equal(sizes.view(np.uint16), values[:, c].view(np.uint16))


def test_a_changed_byte_is_noticed(encoded):
    target = encoded[-1]
    data = bytearray(target.read_bytes())
    place = data.find(encoded[3].tobytes()[:24])
    assert place > 0
    data[place] ^= 1
    target.write_bytes(bytes(data))
    with Activations(target) as file, pytest.raises(InputError, match="values"):
        file.sparse("uncond")


def test_a_dictionary_of_another_model_is_refused(tmp_path):
    path = write_stack(tmp_path / "a.h5", np.ones((2, 13, 4)))
    with pytest.raises(InputError, match="of another model"):
        encode_layer([path], 0, {"uncond": drawn(5)})
    huge = drawn(4)
    huge.encoder.mul_(1e6)
    with pytest.raises(InputError, match="float16's range"):
        encode_layer([path], 0, {"uncond": huge})
