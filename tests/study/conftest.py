"""The schema of settings and the default study, which the tests of studies read and change."""

from copy import deepcopy
from pathlib import Path

import pytest
import yaml

from innerear.study.architectures import CODEC, LANGUAGE_MODEL

ROOT = Path(__file__).parents[2]
SCHEMA = yaml.safe_load((ROOT / "workflow/schemas/config.schema.yaml").read_text("utf-8"))
DEFAULT = yaml.safe_load((ROOT / "config.yaml").read_text("utf-8"))


@pytest.fixture
def settings():
    """The default study's settings, to be changed."""
    return deepcopy(DEFAULT)


def checkpoint(folder, files=(LANGUAGE_MODEL, CODEC)):
    """A directory with the files of a checkpoint, which are empty."""
    folder.mkdir(exist_ok=True)
    for name in files:
        (folder / name).touch()
    return str(folder)
