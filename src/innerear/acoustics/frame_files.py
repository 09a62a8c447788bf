"""Frame features as files."""

import hashlib
from collections.abc import Sequence
from os import PathLike
from pathlib import Path

import pandas as pd
import xarray as xr

from innerear.errors import InputError
from innerear.io.files import Patient, atomic


def write_frames(frames: xr.Dataset, path: str | PathLike) -> None:
    """Write frame features as netCDF-4."""
    with atomic(path) as temporary, Patient(temporary) as patient:
        frames.to_netcdf(patient, engine="h5netcdf")


def frame_files(paths: Sequence[str | PathLike]) -> pd.DataFrame:
    """List files of frame features, as columns ``path`` and ``sha256``: the list changes when they do."""
    rows = [(str(path), hashlib.sha256(Path(path).read_bytes()).hexdigest()) for path in paths]
    return pd.DataFrame(rows, columns=["path", "sha256"])


def read_frames(paths: Sequence[str | PathLike], sample_ids: Sequence[str]) -> xr.Dataset:
    """Read the frame features of all samples, put in order.

    Parameters
    ----------
    paths : files of `write_frames`, each of some of the samples.
    sample_ids : [N] the order of the axis ``sample``.

    Raises
    ------
    InputError: a sample that none of the files holds.
    """
    parts = [xr.load_dataset(path, engine="h5netcdf") for path in paths]
    frames: xr.Dataset = xr.concat(parts, dim="sample")
    absent = sorted(set(sample_ids) - set(frames["sample"].values.tolist()))
    if absent:
        raise InputError(f"sample {absent[0]!r} has no frame features: remake acoustics/frames")
    return frames.sel(sample=list(sample_ids))
