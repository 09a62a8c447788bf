"""What a model needs is brought into the cache once, with its revisions, and only by asking for it."""

import errno
import json
import shutil
import subprocess
import sys
from pathlib import Path

import huggingface_hub
import pytest
import torch
from checkpoints import write_checkpoint, write_t5
from hub_cache import Hub, store
from huggingface_hub import constants
from huggingface_hub.errors import LocalEntryNotFoundError

from innerear.__main__ import main
from innerear.errors import InputError
from innerear.models import load_model
from innerear.models.fetching import fetch, read_pins

REVISION, SMALL = "89abcdef" * 5, "facebook/musicgen-small"


@pytest.fixture(scope="module")
def repositories(tmp_path_factory):
    """Folders of the hub: a model as it is published, and its text encoder."""
    folder = tmp_path_factory.mktemp("hub")
    t5 = write_t5(folder / "t5", d_model=768)
    store(folder / "cache", "t5-base", t5, REVISION)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(constants, "HF_HUB_CACHE", str(folder / "cache"))
        model = write_checkpoint(folder / "model", t5="t5-base")
    (model / "unrelated.bin").write_bytes(b"0" * 1000)
    return {SMALL: model, "t5-base": t5}


@pytest.fixture
def hub(tmp_path, monkeypatch, repositories):
    """A hub with these repositories, and an empty cache."""
    cache = tmp_path / "cache"
    monkeypatch.delenv("AUDIOCRAFT_CACHE_DIR", raising=False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    fake = Hub(cache, repositories, REVISION, huggingface_hub.snapshot_download)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", fake.snapshot_download)
    return fake


def test_a_hub_model_is_fetched_once_with_its_text_encoder(hub):
    found = fetch("small")
    assert [(one.part, one.repo, one.revision) for one in found] == [
        ("model", SMALL, REVISION),
        ("text encoder", "t5-base", REVISION),
    ]
    assert [one.licence for one in found] == ["CC-BY-NC 4.0", "Apache-2.0"]
    files = [hub.repositories[SMALL] / name for name in ("state_dict.bin", "compression_state_dict.bin")]
    assert found[0].n_bytes == sum(path.stat().st_size for path in files)
    assert not list(hub.cache.rglob("unrelated.bin"))
    assert hub.downloads == [SMALL, "t5-base"]
    assert load_model(SMALL, device="cpu").generate(["happy music"], [0], 0.1).codes.shape == (1, 4, 5)
    assert fetch(SMALL) == found
    assert hub.downloads == [SMALL, "t5-base"]


def test_loading_never_asks_the_hub(hub):
    with pytest.raises(InputError, match="is not in the cache"):
        load_model(SMALL, device="cpu")
    assert hub.downloads == []


def test_weights_in_the_old_format_are_taken_where_there_are_no_others(hub, tmp_path):
    old = shutil.copytree(hub.repositories["t5-base"], tmp_path / "old")
    from safetensors.torch import load_file

    torch.save(load_file(old / "model.safetensors"), old / "pytorch_model.bin")
    (old / "model.safetensors").unlink()
    hub.repositories = {**hub.repositories, "t5-base": old}
    fetch(SMALL)
    assert load_model(SMALL, device="cpu").generate(["happy"], [0], 0.1).codes.shape == (1, 4, 5)


def test_a_revision_is_fetched_and_pinned(hub, tmp_path, capsys):
    pins = tmp_path / "out" / "model.json"
    assert main(["fetch", SMALL, "--revision", REVISION, "--output", str(pins)]) == 0
    printed = capsys.readouterr().out
    assert f"{SMALL} at {REVISION}" in printed
    assert "CC-BY-NC 4.0" in printed
    assert "KiB" in printed
    assert read_pins(pins) == {SMALL: REVISION, "t5-base": REVISION}
    assert json.loads(pins.read_text())[1]["part"] == "text encoder"
    assert load_model(SMALL, device="cpu", pins=pins).identity() == load_model(SMALL, device="cpu").identity()


def test_a_cache_that_cannot_be_written_is_named(hub, monkeypatch, capsys):
    def refuse(*_, local_files_only=False, **__):
        if local_files_only:
            raise LocalEntryNotFoundError("none")
        raise PermissionError(errno.EACCES, "Permission denied", str(hub.cache / "models--x"))

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    assert main(["fetch", SMALL]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{hub.cache / 'models--x'} cannot be written: this user may not" in line
    assert "HF_HOME" in line


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["facebook/musicgen-large"], r"facebook/musicgen-large could not be fetched: 404.*connection"),
        ([SMALL, "--revision", "v2"], r"could not be fetched: 404: no revision v2.*\(v2\)"),
        (["facebook/magnet-small-10secs"], "MAGNeT, which cannot be recorded"),
        (["facebook/musicgen-smal"], "no model of the hub and no directory"),
        (["nano", "--revision", "v2"], "'nano' is no model of the hub"),
    ],
)
def test_what_cannot_be_fetched_is_one_line(hub, capsys, arguments, message):
    assert main(["fetch", *arguments]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    with pytest.raises(InputError, match=message):
        raise InputError(error)


def test_nano_needs_nothing(hub, capsys):
    assert main(["fetch", "nano"]) == 0
    assert "nothing to fetch" in capsys.readouterr().out
    assert hub.downloads == []


def test_a_directory_is_completed_from_the_hub(hub, tmp_path):
    directory = shutil.copytree(hub.repositories[SMALL], tmp_path / "mine")
    torch.save({"pretrained": "facebook/encodec_32khz"}, directory / "compression_state_dict.bin")
    hub.repositories = {**hub.repositories, "facebook/encodec_32khz": tmp_path / "encodec"}
    (tmp_path / "encodec").mkdir()
    for name in ("config.json", "model.safetensors"):
        (tmp_path / "encodec" / name).write_text("{}")
    found = fetch(str(directory))
    assert [(one.part, one.repo) for one in found] == [
        ("text encoder", "t5-base"),
        ("codec", "facebook/encodec_32khz"),
    ]
    assert found[1].licence == "CC-BY-NC 4.0"


@pytest.mark.parametrize("text", ["", "{}", "[1]", '[{"repo": "x"}]', "[" * 100_000])
def test_pins_of_another_kind_are_refused(tmp_path, text):
    (tmp_path / "model.json").write_text(text)
    if text == "{}":
        assert read_pins(tmp_path / "model.json") == {}
        return
    with pytest.raises(InputError, match=r"model\.json does not hold the revisions"):
        read_pins(tmp_path / "model.json")


_WITHOUT_NETWORK = """
import sys, time
from innerear.__main__ import main
begin = time.perf_counter()
status = main(["trace", "facebook/musicgen-small"])
print(status, time.perf_counter() - begin)
"""


def test_without_network_and_cache_a_command_ends_in_one_line_within_seconds(tmp_path):
    environment = {"HF_HOME": str(tmp_path), "PYTHONPATH": ":".join(sys.path), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [sys.executable, "-c", _WITHOUT_NETWORK], env=environment, capture_output=True, text=True, check=True
    )
    status, seconds = done.stdout.split()
    assert status == "1"
    assert float(seconds) < 30  # audiocraft's import, mostly
    assert done.stderr.count("\n") == 1
    assert "python -m innerear fetch facebook/musicgen-small" in done.stderr


def test_the_fetching_script_writes_the_file_that_jobs_read(hub, tmp_path):
    from types import SimpleNamespace

    script = Path(__file__).parents[2] / "scripts" / "fetch.py"
    snakemake = SimpleNamespace(
        log=[str(tmp_path / "fetch.log")],
        output=[str(tmp_path / "model.json")],
        params=SimpleNamespace(model={"name": SMALL, "revision": None}),
    )
    exec(compile(script.read_text(), str(script), "exec"), {"snakemake": snakemake})
    assert read_pins(tmp_path / "model.json") == {SMALL: REVISION, "t5-base": REVISION}
    assert "Apache-2.0" in (tmp_path / "fetch.log").read_text()
