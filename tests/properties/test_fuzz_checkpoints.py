"""Checkpoints with bytes flipped or cut: an InputError, or a model that says that it is another one."""

import logging
import random
import shutil

import pytest
from transformers_checkpoints import write_transformers_checkpoint

from innerear.errors import InputError
from innerear.models import load_model

N = 60


def damaged(whole, rng):
    """The bytes of a file, broken somewhere; often in its beginning, where formats say what follows."""
    at = rng.randrange(max(1, len(whole) if rng.random() < 0.5 else min(len(whole), 400)))
    broken = bytearray(whole)
    match rng.choice(["flip", "flip", "cut", "zeros", "insert", "empty", "other"]):
        case "flip":
            broken[at] ^= 1 << rng.randrange(8)
        case "cut":
            del broken[at:]
        case "zeros":
            broken[at : at + 64] = bytes(len(broken[at : at + 64]))
        case "insert":
            broken[at:at] = rng.randbytes(20)
        case "empty":
            broken.clear()
        case "other":
            broken = bytearray(rng.randbytes(300))
    return bytes(broken)


@pytest.fixture(params=["audiocraft", "transformers"])
def checkpoint(request, tiny_checkpoint, tiny_model, tmp_path):
    """A checkpoint's folder and how it is loaded."""
    if request.param == "audiocraft":
        return tiny_checkpoint, {"device": "cpu"}
    folder = write_transformers_checkpoint(tmp_path / "whole", tiny_model)
    return folder, {"device": "cpu", "backend": "transformers"}


def test_a_broken_checkpoint_is_named(checkpoint, tmp_path):
    folder, how = checkpoint
    identity, rng = load_model(folder, **how).identity(), random.Random(5)
    logging.disable(logging.CRITICAL)
    for _ in range(N):
        broken = tmp_path / "broken"
        shutil.copytree(folder, broken, dirs_exist_ok=True)
        path = rng.choice(sorted(one for one in broken.rglob("*") if one.is_file()))
        whole = path.read_bytes()
        path.write_bytes(damaged(whole, rng))
        try:
            other = load_model(broken, **how).identity() != identity
            assert other == (path.read_bytes() != whole), f"{path} was changed, but the identity was not"
        except InputError as error:
            assert str(broken) in str(error)
    logging.disable(logging.NOTSET)
