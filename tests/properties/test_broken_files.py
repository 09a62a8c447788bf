"""A flipped bit or a lost end of a stack or a Gram file is noticed wherever it is, and named."""

import h5py
import numpy as np
import pytest
from fake_files import read_gram, read_stack, write_gram, write_stack

from innerear.errors import InputError

KINDS = pytest.mark.parametrize(("write", "read"), [(write_stack, read_stack), (write_gram, read_gram)])


@KINDS
def test_a_flipped_bit_changes_nothing_or_is_named(tmp_path, write, read):
    path = tmp_path / "file.h5"
    write(path)
    whole, intact = path.read_bytes(), read(path)
    rng, noticed = np.random.default_rng(3), 0
    for position in rng.integers(0, len(whole), 150):
        broken = bytearray(whole)
        broken[position] ^= 1 << rng.integers(8)
        path.write_bytes(broken)
        try:
            assert read(path) == intact, f"the flip at byte {position} went unnoticed"
        except InputError as error:
            noticed += 1
            assert str(path) in str(error)
            assert "remake it with: snakemake" in str(error)
    assert noticed > 20


@KINDS
@pytest.mark.parametrize("share", [0, 0.1, 0.5, 0.99])
def test_a_truncated_file_is_named(tmp_path, write, read, share):
    path = tmp_path / "file.h5"
    write(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(InputError, match=r"truncated.*remake it with: snakemake"):
        read(path)


def test_an_attribute_changed_afterwards_is_noticed(tmp_path):
    path = tmp_path / "file.h5"
    write_stack(path)
    with h5py.File(path, "a") as file:
        file.attrs.modify("emotion", b"mad")
    with pytest.raises(InputError, match="an attribute or a coordinate has changed since it was written"):
        read_stack(path)
