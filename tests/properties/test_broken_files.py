"""A flipped bit or a lost end of a stack or a Gram file is noticed wherever it is, and named; a pipe too."""

import json
import os
import signal

import h5py
import numpy as np
import pytest
from fake_files import read_gram, read_stack, write_gram, write_stack

from innerear.acoustics.frame_files import FrameFile
from innerear.errors import InputError
from innerear.features.files import load
from innerear.interventions.directions import of_dictionary
from innerear.io.clips import read_clip
from innerear.io.recordings import read_recording
from innerear.io.tables import read_table
from innerear.stacks import GramFile, Stack

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


def as_settings(read):
    return lambda path: read(path.rename(path.with_name("cfg.json")).parent)


def as_weights(read):
    def read_folder(path):
        path.rename(path.with_name("sae_weights.safetensors"))
        settings = {"architecture": "topk", "k": 1, "metadata": {"layer": 0}}
        path.with_name("cfg.json").write_text(json.dumps(settings), encoding="utf-8")
        return read(path.parent)

    return read_folder


@pytest.mark.parametrize(
    "read",
    [
        read_table,
        read_clip,
        lambda path: read_recording(path, 0.0, 1.0),
        Stack,
        GramFile,
        FrameFile,
        as_settings(load),
        as_weights(load),
        as_weights(lambda folder: of_dictionary(folder, 0)),
    ],
)
def test_a_pipe_in_the_place_of_a_file_is_named_and_not_waited_for(tmp_path, read):
    os.mkfifo(tmp_path / "file")
    signal.alarm(20)  # ends the tests if a reader waits
    with pytest.raises(InputError, match="cannot be read: it is a pipe, a socket or a device, where a file"):
        read(tmp_path / "file")
    signal.alarm(0)
