"""Fixtures shared by all tests: a tiny MusicGen in a checkpoint directory, and loaded."""

from pathlib import Path

import pytest
from checkpoints import write_checkpoint


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Directory of a tiny MusicGen: 3 layers, d_model 32, 4 codebooks of 16 tokens, 50 Hz, 1600 Hz audio."""
    return write_checkpoint(tmp_path_factory.mktemp("checkpoint") / "tiny")


@pytest.fixture(scope="session")
def tiny_model(tiny_checkpoint: Path):
    """`tiny_checkpoint`, loaded on the CPU in float32."""
    from innerear.models import load_model

    return load_model(tiny_checkpoint, device="cpu")
