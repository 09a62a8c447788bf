"""Stacks and Gram files in other people's programs: every variable is shown, with named axes."""

import re
import shutil
import subprocess

import h5netcdf
import h5py
import numpy as np
import pytest
import xarray as xr

from innerear.stacks import GramFile, StackWriter
from innerear.timeline import Timeline

TIMELINE = Timeline(n_frames=20, n_codebooks=4, frame_rate=50.0)
N_STEPS = TIMELINE.n_steps


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A stack with all that it may hold, and a Gram file with a boolean."""
    folder = tmp_path_factory.mktemp("files")
    rng = np.random.default_rng(0)
    with StackWriter(folder / "stack.h5", {"model": "tiny"}, np.ones((4, 20), int), TIMELINE) as stack:
        for site in ("residual", "mlp"):
            levels = rng.normal(size=(2, N_STEPS)).astype(np.float32)
            stack.write(site, 0, rng.normal(size=(2, N_STEPS, 8)), levels)
        stack.write_input_gap(np.zeros(N_STEPS))
        stack.write_nll(np.zeros((2, 4, 20)), ("cond", "uncond"))
    arrays = {"gram": (("step", "sample", "sample_2"), np.ones((3, 2, 2), np.float32))}
    arrays["deterministic"] = (("step",), np.array([True, False, False]))
    names = np.array(["a", "b"])
    GramFile.write(folder / "gram.h5", arrays, {"step": range(3), "sample": names, "sample_2": names})
    return folder


def variables(path):
    """Name → (shape, names of the axes) of each dataset that is no axis itself, as h5py has them."""
    found = {}

    def visit(name, item):
        if isinstance(item, h5py.Dataset) and not item.is_scale:
            found[name] = (item.shape, [dim.keys()[0] for dim in item.dims])

    with h5py.File(path) as file:
        file.visititems(visit)
    return found


def output_of(*command):
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed (Debian: netcdf-bin, hdf5-tools, r-cran-ncdf4)")
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", ["stack.h5", "gram.h5"])
def test_no_axis_is_without_a_name_and_no_type_unknown_to_netcdf(files, name):
    for shape, axes in variables(files / name).values():
        assert len(axes) == len(shape) == len([axis for axis in axes if axis])
    with h5py.File(files / name) as file:
        kinds = set()
        file.visititems(lambda _, item: kinds.add(item.dtype.kind) if getattr(item, "shape", ()) else None)
    assert kinds <= set("iuf") | {"O"}  # no enums; arrays of texts are of variable length


@pytest.mark.parametrize("name", ["stack.h5", "gram.h5"])
def test_ncdump_shows_every_variable_with_its_axes(files, name):
    header = output_of("ncdump", "-h", str(files / name))
    for path, (_, axes) in variables(files / name).items():
        variable = path.rpartition("/")[2]
        of = re.escape(f"({', '.join(axes)})") if axes else ""
        assert re.search(rf"\w+ {variable}{of} ;", header), (variable, header)


@pytest.mark.parametrize("name", ["stack.h5", "gram.h5"])
def test_h5dump_reads_every_value(files, name):
    text = output_of("h5dump", str(files / name))
    for path in variables(files / name):
        assert f'DATASET "{path.rpartition("/")[2]}"' in text


def test_xarray_and_h5netcdf_name_the_axes(files):
    groups = xr.open_groups(files / "stack.h5", engine="h5netcdf")
    with h5netcdf.File(files / "stack.h5") as other:
        for path, (shape, axes) in variables(files / "stack.h5").items():
            group, _, name = f"/{path}".rpartition("/")
            assert groups[group or "/"][name].dims == tuple(axes)
            assert groups[group or "/"][name].shape == shape
            assert other[path].dimensions == tuple(axes)
    assert groups["/step"]["complete"].dtype == bool
    residual = groups["/residual"]
    assert "without their mean over units" in residual["layer_00"].attrs["long_name"]
    assert (residual["layer_00"] + residual["level_00"]).dims == ("branch", "step", "d_model")


def test_r_reads_states_by_axis(files):
    script = (
        f'file <- ncdf4::nc_open("{files / "stack.h5"}"); '
        'states <- file$var[["residual/layer_00"]]; '
        "cat(sapply(states$dim, function(axis) axis$name)); cat(';'); "
        'cat(dim(ncdf4::ncvar_get(file, "step/complete")))'
    )
    if shutil.which("Rscript") and "ncdf4" not in output_of(
        "Rscript", "-e", "cat(rownames(installed.packages()))"
    ):
        pytest.skip("R has no ncdf4 (Debian: r-cran-ncdf4)")
    names, n_steps = output_of("Rscript", "-e", script).split(";")
    assert [name.rpartition("/")[2] for name in names.split()] == ["d_model", "step", "branch"]
    assert int(n_steps) == N_STEPS
