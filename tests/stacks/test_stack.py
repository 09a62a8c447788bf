"""Stacks and Gram files: what is written is read, by every reader, and what is broken says so."""

import os

import h5py
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from innerear.errors import InputError
from innerear.stacks import (
    BRANCHES,
    GramFile,
    LayerReader,
    Stack,
    StackWriter,
    open_templates,
    part_name,
    template_files,
    tokens_hash,
)
from innerear.timeline import Timeline

TIMELINE = Timeline(n_frames=70, n_codebooks=4, frame_rate=50.0)
ATTRS = {"sample_id": "piano-happy/seed-7", "seed": 7, "valence": None, "model": "tiny"}


def states(seed=0, d_model=16):
    """Random states [C, S, D]."""
    return np.random.default_rng(seed).normal(size=(2, TIMELINE.n_steps, d_model)).astype(np.float32)


def tokens():
    return np.random.default_rng(1).integers(0, 2048, (4, 70))


def write(path, dtype="float16", layers=(0, 11)):
    with StackWriter(path, ATTRS, tokens(), TIMELINE, dtype=dtype) as stack:
        for layer in layers:
            stack.write("residual", layer, states(layer))
    return path


@pytest.fixture
def path(tmp_path):
    return write(tmp_path / "stack.h5")


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_round_trip(tmp_path, dtype):
    with Stack(write(tmp_path / "stack.h5", dtype)) as stack:
        assert stack.layers() == [0, 11]
        assert stack.branches == BRANCHES
        assert stack.timeline == TIMELINE
        assert stack.attrs["seed"] == 7
        assert stack.attrs["tokens_sha256"] == tokens_hash(tokens())
        assert "valence" not in stack.attrs
        np.testing.assert_array_equal(stack.codes, tokens())
        np.testing.assert_array_equal(stack.frames, TIMELINE.frames)
        np.testing.assert_array_equal(stack.complete, TIMELINE.complete)
        np.testing.assert_array_equal(stack.read(11), states(11).astype(dtype))
        np.testing.assert_array_equal(stack.read(0, steps=slice(5, 9)), states(0).astype(dtype)[:, 5:9])


def test_raw_states_are_the_states_and_their_level(tmp_path):
    levels = np.linspace(-9, 9, 2 * TIMELINE.n_steps, dtype=np.float32).reshape(2, -1)
    with StackWriter(tmp_path / "stack.h5", ATTRS, tokens(), TIMELINE, dtype="float16") as stack:
        stack.write("residual", 4, states(), levels)
    with Stack(tmp_path / "stack.h5") as stack, LayerReader(tmp_path / "stack.h5", 4) as reader:
        assert stack.read(4).dtype == np.float16
        np.testing.assert_array_equal(stack.levels(4), levels)
        np.testing.assert_array_equal(reader.levels, levels)
        some = slice(5, 9)
        np.testing.assert_array_equal(
            stack.read(4, steps=some, raw=True), stack.read(4)[:, some] + levels[:, some, None]
        )


def test_the_content_hash_covers_the_levels(tmp_path):
    digests = set()
    for level in (0.0, 1.0):
        with StackWriter(tmp_path / "stack.h5", ATTRS, tokens(), TIMELINE) as stack:
            stack.write("residual", 0, states(), np.full((2, TIMELINE.n_steps), level, np.float32))
        with Stack(tmp_path / "stack.h5") as stack:
            digests.add(stack.attrs["content_sha256"])
    assert len(digests) == 2


def test_xarray_opens_each_group_with_named_axes(path):
    with xr.open_dataset(path, engine="h5netcdf", group="residual") as residual:
        assert residual["layer_11"].dims == ("branch", "step", "d_model")
        assert residual["branch"].values.tolist() == ["cond", "uncond"]
        uncond = residual["layer_11"].sel(branch="uncond", step=5).values
        np.testing.assert_array_equal(uncond, states(11).astype(np.float16)[1, 5])
    with xr.open_dataset(path, engine="h5netcdf", group="step") as step:
        assert step["frame"].dims == ("step", "codebook")
        assert step["complete"].dtype == bool
    with h5py.File(path) as file:  # netCDF has no booleans: ncdump would leave them out
        assert file["step/complete"].dtype == np.int8
    with xr.open_dataset(path, engine="h5netcdf") as root:
        assert root["codes"].dims == ("codebook", "frame")


def test_layout_is_the_documented_one(path):
    with h5py.File(path) as file:
        layer = file["residual/layer_00"]
        assert layer.chunks == (1, 37, 16)  # 73 steps in equal chunks of at most 64
        assert layer.fletcher32
        assert file["step/frame"].dtype == np.int32
        assert file["codes"].dtype == np.int16


def test_content_hash_follows_the_content_alone(tmp_path):
    def content(path):
        with Stack(path) as stack:
            return stack.attrs["content_sha256"]

    one = content(write(tmp_path / "one.h5"))
    assert one == content(write(tmp_path / "two.h5", layers=(11, 0)))
    assert one != content(write(tmp_path / "three.h5", layers=(0,)))
    assert one != content(write(tmp_path / "four.h5", dtype="float32"))


def test_a_failed_write_leaves_no_file(tmp_path):
    with (
        pytest.raises(KeyboardInterrupt),
        StackWriter(tmp_path / "stack.h5", ATTRS, tokens(), TIMELINE) as stack,
    ):
        stack.write("residual", 0, states())
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_keeps_what_was_there(path):
    before = path.read_bytes()
    with pytest.raises(InputError), StackWriter(path, ATTRS, tokens(), TIMELINE) as stack:
        stack.write("residual", 0, states() * np.inf)
    assert path.read_bytes() == before


def test_overflow_names_layer_step_and_setting(tmp_path):
    values = states()
    values[1, 33, 4] = 70_000.0
    with (
        pytest.raises(
            InputError, match=r"70000 at layer 5, step 33, branch uncond, unit 4.*capture\.dtype: float32"
        ),
        StackWriter(tmp_path / "stack.h5", ATTRS, tokens(), TIMELINE) as stack,
    ):
        stack.write("residual", 5, values)
    with StackWriter(tmp_path / "stack.h5", ATTRS, tokens(), TIMELINE, dtype="float32") as stack:
        stack.write("residual", 5, values)


def test_nan_names_layer_step_and_setting(tmp_path):
    values = states()
    values[0, 2, 0] = np.nan
    with (
        pytest.raises(InputError, match=r"nan at layer 5, step 2, branch cond.*model\.dtype: float32"),
        StackWriter(tmp_path / "stack.h5", ATTRS, tokens(), TIMELINE) as stack,
    ):
        stack.write("residual", 5, values)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("mlpp", 0, states()), "mlpp"),
        (("residual", 0, states()[:1]), "expected 2 branches"),
        (("residual", 0, states()[:, :-1]), "73 steps"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path, arguments, message):
    with (
        pytest.raises(InputError, match=message),
        StackWriter(tmp_path / "stack.h5", ATTRS, tokens(), TIMELINE) as stack,
    ):
        stack.write(*arguments)


def test_codes_must_fit_the_timeline(tmp_path):
    with pytest.raises(InputError, match=r"\(4, 69\)"):
        StackWriter(tmp_path / "stack.h5", ATTRS, tokens()[:, 1:], TIMELINE)


def test_missing_file_names_how_to_make_it(tmp_path):
    with pytest.raises(InputError, match=r"gone\.h5 does not exist; make it with: snakemake"):
        Stack(tmp_path / "gone.h5")


def test_truncated_file_names_file_and_command(path):
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(InputError, match=r"stack\.h5 is truncated.*snakemake --cores 1 --force .*stack\.h5"):
        Stack(path)


def test_no_hdf5_at_all(path):
    path.write_text("not a stack")
    with pytest.raises(InputError, match=r"not an HDF5 file.*--force"):
        Stack(path)


def test_foreign_file_names_what_it_is(tmp_path):
    with h5py.File(tmp_path / "foreign.h5", "w") as file:
        file["data"] = np.zeros(3)
    with pytest.raises(InputError, match=r"'schema' attribute is None.*rule generate"):
        Stack(tmp_path / "foreign.h5")


def test_a_gram_file_is_no_stack(tmp_path):
    GramFile.write(tmp_path / "gram.h5", {}, {})
    with pytest.raises(InputError, match="innerear-gram"):
        Stack(tmp_path / "gram.h5")


def test_older_schema_names_both_versions(path):
    with h5py.File(path, "a") as file:
        file.attrs["schema_version"] = 2
    with pytest.raises(
        InputError, match=r"an older schema \(2; this innerear reads 3, .*mean over units\).*--force"
    ):
        Stack(path)


def test_broken_checksum_names_the_dataset(path):
    with h5py.File(path) as file:
        # Chunk of branch 1, steps 0–63.
        offset = file["residual/layer_11"].id.get_chunk_info_by_coord((1, 0, 0)).byte_offset
    content = bytearray(path.read_bytes())
    content[offset + 100] ^= 0xFF
    path.write_bytes(content)
    with Stack(path) as stack:
        stack.read(0)
        with pytest.raises(InputError, match=r"dataset 'residual/layer_11'.*checksum.*--force"):
            stack.read(11)
    with (
        LayerReader(path, 11) as reader,
        pytest.raises(InputError, match=r"dataset 'residual/layer_11'.*checksum.*--force"),
    ):
        reader.read(slice(0, 5))


def test_a_layer_alone_is_read_as_from_its_stack(path):
    with Stack(path) as stack, LayerReader(path, 11) as reader:
        np.testing.assert_array_equal(reader.read(slice(60, 70)), stack.read(11, steps=slice(60, 70)))
    with pytest.raises(InputError, match=r"no dataset 'residual/layer_03'.*--force"):
        LayerReader(path, 3)


def test_missing_dataset_is_named(path):
    with h5py.File(path, "a") as file:
        del file["step/frame"]
    with pytest.raises(InputError, match="no dataset 'step/frame'"):
        Stack(path)


def test_missing_layer_lists_those_that_are_there(path):
    with Stack(path) as stack, pytest.raises(InputError, match=r"no layer 3.*\[0, 11\]"):
        stack.read(3)


# Gram files


COORDS = {"branch": BRANCHES, "step": range(6), "sample": ["a/seed-0", "b/seed-0", "c"], "sample_2": range(3)}
DIMS = ("branch", "step", "sample", "sample_2")


def gram():
    return np.random.default_rng(2).normal(size=(2, 6, 3, 3)).astype(np.float32)


def test_gram_round_trip_by_name(tmp_path):
    norm = gram()[:, :, 0, 0]
    arrays = {"gram": (DIMS, gram()), "mean_norm": (("branch", "step"), norm)}
    GramFile.write(tmp_path / "gram.h5", arrays, COORDS, {"model": "nano", "why": None})
    with GramFile(tmp_path / "gram.h5") as file:
        assert "gram" in file
        assert "centred" not in file
        assert file.attrs["model"] == "nano"
        assert file.dims("gram") == DIMS
        assert file.coords("sample").tolist() == COORDS["sample"]
        np.testing.assert_array_equal(file.read("gram"), gram())
        np.testing.assert_array_equal(file.read("gram", branch=1, step=slice(2, 4)), gram()[1, 2:4])
        with pytest.raises(InputError, match="no axis 'layer'"):
            file.read("gram", layer=1)
    with xr.open_dataset(tmp_path / "gram.h5", engine="h5netcdf") as dataset:
        np.testing.assert_array_equal(dataset["mean_norm"].sel(branch="uncond"), norm[1])


def test_a_large_gram_is_chunked_by_rows(tmp_path):
    coords = {"branch": BRANCHES, "x": range(3000), "y": range(3000)}
    x = np.broadcast_to(np.float32(0), (2, 3000, 3000))
    GramFile.write(tmp_path / "gram.h5", {"gram": (("branch", "x", "y"), x)}, coords)
    with h5py.File(tmp_path / "gram.h5") as file:
        assert file["gram"].chunks == (1, 87, 3000)


def test_interrupted_gram_leaves_no_file(tmp_path):
    arrays = {"gram": (DIMS, gram()), "broken": (("step",), np.zeros(7))}
    with pytest.raises(ValueError, match="broken has shape"):
        GramFile.write(tmp_path / "gram.h5", arrays, COORDS)
    assert list(tmp_path.iterdir()) == []


def test_truncated_gram_names_file_and_command(tmp_path):
    path = tmp_path / "gram.h5"
    GramFile.write(path, {"gram": (DIMS, gram())}, COORDS)
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(InputError, match=r"gram\.h5 is truncated.*--force"):
        GramFile(path)


@pytest.fixture
def replayed(tmp_path):
    """Counterfactual folders of two templates, with two layers each."""
    folders = [tmp_path / "model" / template for template in ("007", "band")]
    for number, folder in enumerate(folders):
        for layer in (2, 11, None):
            values = np.array([number, -1 if layer is None else layer], np.float32)
            GramFile.write(folder / part_name(layer), {"x": (("i",), values)}, {"i": np.arange(2)}, {})
    return folders


def test_templates_are_opened_by_layer_from_the_list(replayed):
    files = template_files(replayed, [2, 11])
    assert files["part"].tolist() == ["layer_02.h5", "layer_11.h5", "likelihood.h5"] * 2
    for layer in (2, 11, None):
        with open_templates(files, layer) as opened:
            found = {template: file.read("x").tolist() for template, file in opened.items()}
        own = -1 if layer is None else layer
        assert found == {"007": [0, own], "band": [1, own]}


def test_a_list_changes_when_a_file_does(replayed):
    before = template_files(replayed, [2])
    os.utime(replayed[1] / "layer_02.h5", ns=(0, 0))
    pd.testing.assert_frame_equal(template_files(replayed, [2]), before)
    arrays = {"x": (("i",), np.zeros(2, np.float32))}
    GramFile.write(replayed[1] / "layer_02.h5", arrays, {"i": np.arange(2)})
    assert not template_files(replayed, [2]).equals(before)
    with pytest.raises(InputError, match=r"its content hash is .*index lists"), open_templates(before, 2):
        pass


@pytest.mark.parametrize("part", ["layer_11.h5", "likelihood.h5"])
def test_a_folder_that_lacks_a_file_is_refused(replayed, part):
    (replayed[1] / part).unlink()
    with pytest.raises(InputError, match=rf"band has no {part}; remake it with: .*--force .*/band$"):
        template_files(replayed, [2, 11])


def test_a_broken_file_of_a_template_is_remade_with_its_folder(replayed):
    path = replayed[0] / "layer_02.h5"
    path.write_bytes(path.read_bytes()[:100])
    with (
        pytest.raises(InputError, match=r"layer_02\.h5 is truncated .*--force .*/007$"),
        open_templates(template_files(replayed, [2]), 2),
    ):
        pass
