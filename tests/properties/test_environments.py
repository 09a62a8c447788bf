"""One lock for all: what is installed, and what each stage's conda environment asks for, is what it says."""

import os
import re
import subprocess
import sys
from importlib.metadata import requires, version
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ENVS = Path(__file__).parents[2] / "envs"
# What `make run TORCH=cpu` leaves out, and whether it was that.
(AWAY,) = re.findall(r"NOT_INSTALLED := (\^\(.*)", (ENVS.parent / "Makefile").read_text())
WITHOUT_CUDA = version("torch").endswith("+cpu")


def lock():
    pins = [Requirement(line) for line in (ENVS / "lock.txt").read_text().splitlines()]
    return {pin.name: str(pin.specifier) for pin in pins if pin.marker is None or pin.marker.evaluate()}


def test_the_lock_is_what_is_installed():
    expected = {name: pin for name, pin in lock().items() if not (WITHOUT_CUDA and re.match(AWAY, name))}
    assert {name: f"=={version(name).removesuffix('+cpu')}" for name in expected} == expected


def test_the_environment_keeps_the_choice_of_pytorch(tmp_path):
    def asked(*options):
        command = ["make", "--dry-run", "--file", ENVS.parent / "Makefile", *options, ".venv/installed"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        return done.stderr or "--torch-backend cpu" in done.stdout

    (tmp_path / ".venv").mkdir()
    for name in ("envs", "pyproject.toml"):
        (tmp_path / name).symlink_to(ENVS.parent / name)
    assert asked() is False
    assert asked("TORCH=cpu") is True
    (tmp_path / ".venv/torch").write_text("cpu\n")
    assert asked() is asked("TORCH=cpu") is True
    assert "has PyTorch's CPU builds already; make clean first" in asked("TORCH=")
    (tmp_path / ".venv/torch").write_text("\n")
    assert asked() is asked("TORCH=") is False
    assert "has PyTorch with CUDA already; make clean first" in asked("TORCH=cpu")
    assert "TORCH=gpu is not known" in asked("TORCH=gpu")
    cleaned = ["make", "--dry-run", "--file", ENVS.parent / "Makefile", "TORCH=cpu", "clean"]
    assert subprocess.run(cleaned, cwd=tmp_path, capture_output=True).returncode == 0


def test_the_lock_names_no_package_index():
    assert not re.search(r"https?:|file:|--", (ENVS / "lock.txt").read_text())


@pytest.mark.skipif(WITHOUT_CUDA, reason="PyTorch's CPU builds name nothing that CUDA needs")
def test_what_stays_away_without_a_gpu_is_needed_by_pytorch_for_cuda_alone():
    away = {name for name in lock() if re.match(AWAY, name)}
    users = {name: set() for name in away}
    for name in lock():
        for needed in {canonicalize_name(Requirement(line).name) for line in requires(name) or []} & away:
            users[needed].add(name)
    assert {"triton", "nvidia-cublas"} <= away
    assert all(of_one and of_one <= away | {"torch"} for of_one in users.values()), users


@pytest.mark.parametrize("stage", ["generate", "analysis", "acoustics"])
def test_a_stage_pins_what_the_lock_pins(stage):
    dependencies = yaml.safe_load((ENVS / f"{stage}.yaml").read_text())["dependencies"]
    pins = [Requirement(pin) for part in dependencies if isinstance(part, dict) for pin in part["pip"]]
    assert len(pins) > 5
    assert {pin.name: str(pin.specifier) for pin in pins} == {pin.name: lock()[pin.name] for pin in pins}


def test_audiocraft_is_installed_last_and_at_the_locked_release():
    script = (ENVS / "generate.post-deploy.sh").read_text()
    assert f"--no-deps audiocraft{lock()['audiocraft']}" in script


def test_audiocraft_imports_from_the_lock_which_has_no_xformers():
    assert "xformers" not in lock()
    code = """
import sys
from innerear.models.imports import import_audiocraft
import_audiocraft()
from audiocraft.models import MusicGen
assert sys.modules["xformers"].__spec__.origin is None, "the real one"
print(MusicGen.__name__)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "MusicGen"


def test_measuring_a_clip_compiles_nothing_that_the_installation_did_not():
    code = """
import numpy as np
from innerear.acoustics.clips import clip_features
from innerear.acoustics.frames import frame_features
wave = np.sin(np.arange(32000, dtype=np.float32) / 9) * np.repeat([0.1, 0.8], 16000).astype(np.float32)
clip_features(wave, 16000, 50.0)
frame_features(wave, 16000, 50.0, 100)
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"NUMBA_DEBUG_CACHE": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "data loaded from" in done.stdout
    assert "data saved to" not in done.stdout
