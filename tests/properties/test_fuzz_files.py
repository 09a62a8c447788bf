"""Files with bytes flipped, cut, or parts replaced: an InputError, or what was written; nothing else."""

import json
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from fake_files import read_gram, read_stack, write_gram, write_stack
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sealed import edited

from innerear.acoustics.frame_files import FrameFile, write_frames
from innerear.errors import InputError
from innerear.io.clips import read_clip, write_clip
from innerear.io.hdf5 import CONTENTS
from innerear.io.tables import read_table, write_table
from innerear.stacks import LayerReader, Stack

RNG = np.random.default_rng(0)
often = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)


def write_frame_file(path):
    values = np.random.default_rng(0).normal(size=(2, 3, 4)).astype(np.float32)
    frames = {
        "value": (("sample", "feature", "frame"), values),
        "reason": (("sample", "feature"), np.array([["", "silent", ""], ["", "", "é"]])),
    }
    write_frames(xr.Dataset(frames, {"sample": ["a", "b"], "feature": ["x", "y", "z"]}), path)


def read_frame_file(path):
    with FrameFile(path) as file:
        return {str(name): one.values.tolist() for name, one in file.frames().variables.items()}


TABLE = pd.DataFrame(
    {"sample_id": ["a/seed-0", "b/seed-0"], "emotion": ["happy", 'sad "blue"'], "value": [0.5, np.nan]}
)


def write_tsv(path):
    write_table(TABLE, path)


def read_tsv(path):
    return repr(read_table(path).to_dict("list"))


def write_wav(path):
    return write_clip(path, np.random.default_rng(0).uniform(-1, 1, 400), 1600)


def read_wav(path, written=None):
    wave, rate, _ = read_clip(path, written)
    return wave.tolist(), rate


FILES = {
    "stack.h5": (write_stack, read_stack),
    "layer_05.h5": (write_gram, read_gram),
    "frames.nc": (write_frame_file, read_frame_file),
    "table.tsv": (write_tsv, read_tsv),
}
HDF5 = [name for name in FILES if not name.endswith("tsv")]


@st.composite
def damage(draw, whole):
    """The bytes of a file, flipped, overwritten, cut, removed or inserted somewhere."""
    broken = bytearray(whole)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, max(0, len(broken) - 1)))
        length = draw(st.integers(0, 64))
        match draw(st.sampled_from(["flip", "write", "cut", "remove", "insert", "copy"])):
            case "flip" if broken:
                broken[at] ^= 1 << draw(st.integers(0, 7))
            case "write":
                broken[at : at + length] = draw(st.binary(min_size=length, max_size=length))
            case "cut":
                del broken[at:]
            case "remove":
                del broken[at : at + length]
            case "insert":
                broken[at:at] = draw(st.binary(max_size=length))
            case "copy":
                broken[at : at + length] = whole[:length]
    return bytes(broken)


def assert_intact_or_refused(read, path, intact):
    try:
        assert read(path) == intact
    except InputError as error:
        assert str(path) in str(error)


@pytest.mark.parametrize("name", FILES)
@often
@given(data=st.data())
def test_bytes(tmp_path, name, data):
    write, read = FILES[name]
    path = tmp_path / name
    write(path)
    intact = read(path)
    path.write_bytes(data.draw(damage(path.read_bytes())))
    assert_intact_or_refused(read, path, intact)


@often
@given(data=st.data())
def test_bytes_of_a_clip(tmp_path, data):
    path = tmp_path / "clip.wav"
    written = write_wav(path)
    whole, intact = path.read_bytes(), read_wav(path)
    path.write_bytes(data.draw(damage(whole)))
    assert_intact_or_refused(lambda path: read_wav(path, written), path, intact)
    try:  # as it is measured before its hash is known
        read_wav(path)
    except InputError as error:
        assert str(path) in str(error)


VALUES = st.sampled_from(
    [
        *(b"", b"sad", b"residual", 0, -1, 3, 2**40, 1.5, float("nan"), True),
        *(np.arange(3), np.zeros((2, 2)), np.array([b"a", b"bc"]), np.zeros(0), "text of variable length"),
        *(h5py.Empty("f4"), np.zeros(200_000, np.int8), np.void(b"xyz"), np.complex64(1)),
    ]
)


@st.composite
def change(draw, names, attrs):
    """What to do with an open HDF5 file."""
    name = draw(st.sampled_from(names))
    kind = draw(
        st.sampled_from(["remove", "value", "shape", "type", "link", "move", "huge", "attr", "no attr"])
    )
    value, attr = draw(VALUES), draw(st.sampled_from(attrs))

    def apply(file, folder):
        if kind == "attr":
            file.attrs[attr] = value
            return
        if kind == "no attr":
            del file.attrs[attr]
            return
        dataset = file[name]
        old = dataset[()]
        if kind == "move":
            file.move(name, f"{name}_x")
        elif kind == "value" and old.ndim and old.dtype.kind in "if":
            dataset[...] = old[::-1]
        else:
            del file[name]
            if kind == "shape":
                file.create_dataset(
                    name, data=np.zeros((3, 2), old.dtype if old.dtype.kind in "if" else "f4")
                )
            elif kind == "type":
                file.create_dataset(name, data=value if not isinstance(value, h5py.Empty) else 0)
            elif kind == "huge":
                file.create_dataset(name, (10**6, 10**6), "f4", chunks=(10, 10))
            elif kind == "link":
                replace_by_link(file, name, old, folder)

    return apply


def replace_by_link(file, name, old, folder):
    """Let another file hold the values, in one of the ways that HDF5 has."""
    way = len(name) % 4
    with h5py.File(folder / "other.h5", "w") as other:
        other["x"] = old
    if way == 0:
        file[name] = h5py.ExternalLink(str(folder / "other.h5"), "x")
    elif way == 1:
        file["elsewhere"] = old
        file[name] = h5py.SoftLink("/elsewhere")
    elif way == 2 and getattr(old, "ndim", 0) and old.dtype.kind in "if":
        layout = h5py.VirtualLayout(old.shape, old.dtype)
        layout[...] = h5py.VirtualSource(str(folder / "other.h5"), "x", old.shape)
        file.create_virtual_dataset(name, layout)
    elif getattr(old, "ndim", 0) and old.dtype.kind in "if":
        (folder / "raw").write_bytes(old.tobytes())
        outside = [(str(folder / "raw"), 0, old.nbytes)]
        file.create_dataset(name, old.shape, old.dtype, external=outside)


def inside(path):
    with h5py.File(path) as file:
        return [CONTENTS, *json.loads(file[CONTENTS][()])], sorted(file.attrs)


@pytest.mark.parametrize("name", HDF5)
@often
@given(data=st.data())
def test_parts(tmp_path, name, data):
    write, read = FILES[name]
    path = tmp_path / name
    write(path)
    intact = read(path)
    apply = data.draw(change(*inside(path)))
    with h5py.File(path, "a") as file:
        apply(file, tmp_path)
    assert_intact_or_refused(read, path, intact)


@pytest.mark.parametrize("name", HDF5)
@often
@given(data=st.data())
def test_parts_with_hashes_that_fit(tmp_path, name, data):
    """Whoever makes the hashes anew can write other values, but no raw error, and none of another file."""
    write, read = FILES[name]
    path = tmp_path / name
    write(path)
    names, attrs = inside(path)
    apply = data.draw(change(names[1:], attrs))
    try:
        with edited(path) as file:
            apply(file, tmp_path)
    except (ValueError, TypeError, OSError, AttributeError, LookupError, MemoryError):
        return  # no such file can be described
    try:
        read(path)
    except InputError as error:
        assert str(path) in str(error)


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    """A file of another kind: whatever lies in it must not become a layer."""
    path = tmp_path_factory.mktemp("raw") / "secret"
    path.write_bytes(np.arange(2 * 23 * 16, dtype=np.float16).tobytes())
    return path


def external_storage(file, name, values, raw):
    file.create_dataset(name, values.shape, values.dtype, external=[(str(raw), 0, values.nbytes)])


def external_link(file, name, values, raw):
    with h5py.File(raw.with_suffix(".h5"), "w") as other:
        other["x"] = values
    file[name] = h5py.ExternalLink(str(raw.with_suffix(".h5")), "x")


def soft_link(file, name, values, raw):
    file["elsewhere"] = values
    file[name] = h5py.SoftLink("/elsewhere")


def virtual(file, name, values, raw):
    external_link(file, "x", values, raw)
    layout = h5py.VirtualLayout(values.shape, values.dtype)
    layout[...] = h5py.VirtualSource(str(raw.with_suffix(".h5")), "x", values.shape)
    file.create_virtual_dataset(name, layout)


def compressed(file, name, values, raw):
    file.create_dataset(name, data=values, compression="gzip")


def never_written(file, name, values, raw):
    file.create_dataset(name, values.shape, values.dtype, chunks=(1, 4, 16))


@pytest.mark.parametrize(
    ("put", "message"),
    [
        (external_storage, "has its values in another place"),
        (external_link, "is a link to another place"),
        (soft_link, "is a link to another place"),
        (virtual, "has its values in another place"),
        (compressed, "has filters that we do not use"),
        (never_written, "has values that are not in the file"),
    ],
)
def test_values_that_lie_elsewhere_are_refused_before_they_are_read(tmp_path, raw, put, message):
    """Even if they are the right ones, and all hashes fit."""
    path = tmp_path / "stack.h5"
    write_stack(path)
    with h5py.File(path, "a") as file:
        values = file["residual/layer_05"][()]
        del file["residual/layer_05"]
        put(file, "residual/layer_05", values, raw)
    for reader in (lambda: Stack(path).read(5), lambda: LayerReader(path, 5).read(slice(0, 3))):
        with pytest.raises(InputError, match=f"residual/layer_05.*{message}"):
            reader()


def test_a_small_file_cannot_ask_for_much_memory(tmp_path):
    path = tmp_path / "layer_05.h5"
    write_gram(path)
    with h5py.File(path, "a") as file:
        entries = json.loads(file[CONTENTS][()])
        del file["gram"]
        file.create_dataset("gram", (10**6, 10**6, 1), "f8", chunks=(10, 10, 1))
    assert path.stat().st_size < 50_000
    with pytest.raises(InputError, match="dataset 'gram' has shape"):
        read_gram(path)
    entries["gram"] |= {"shape": [10**6, 10**6, 1], "rows": 10**6, "sha256": ["0" * 32]}
    rewrite_contents(path, entries)
    with pytest.raises(InputError, match="dataset 'gram' has values that are not in the file"):
        read_gram(path)


def rewrite_contents(path: Path, entries: dict) -> None:
    """Describe a file's contents otherwise, with hashes that fit."""
    from innerear.io.hdf5 import Entry, Layout

    with h5py.File(path, "a") as file:
        layout = Layout.__new__(Layout)
        layout.file, layout._contents = file, {name: Entry(**one) for name, one in entries.items()}
        del file[CONTENTS]
        layout.seal(path)
