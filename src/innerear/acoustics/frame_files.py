"""Frame features as files, which other tools read as netCDF-4."""

from collections.abc import Sequence
from contextlib import closing
from os import PathLike
from typing import cast

import numpy as np
import pandas as pd
import xarray as xr

from innerear.errors import InputError
from innerear.io.hdf5 import CONTENT_HASH, new_file
from innerear.io.hdf5_reader import Reader
from innerear.io.names import command

_KIND = "innerear-frames"


class FrameFile(Reader):
    """A file of frame features, opened for reading."""

    kind, made_by = _KIND, "acoustics"

    def frames(self) -> xr.Dataset:
        """Return what was written."""
        axes = {name: entry for name, entry in self.contents.items() if entry.dims == [name]}
        arrays = {
            name: (entry.dims, self.values(name)) for name, entry in self.contents.items() if name not in axes
        }
        with self.understood("frame features"):
            return xr.Dataset(arrays, {name: self.values(name) for name in axes})


def write_frames(frames: xr.Dataset, path: str | PathLike) -> None:
    """Write frame features; an axis without coordinates is numbered."""
    with new_file(path, _KIND, {}) as layout:
        for axis, size in frames.sizes.items():
            own = frames[axis].values if axis in frames.coords else np.arange(size)
            layout.axis("/", str(axis), own)
        further = {name: one for name, one in frames.variables.items() if name not in frames.sizes}
        for name, variable in further.items():
            layout.dataset("/", str(name), [str(dim) for dim in variable.dims], variable.values)


def frame_files(paths: Sequence[str | PathLike], samples: pd.DataFrame | None = None) -> pd.DataFrame:
    """List files of frame features, as columns ``path`` and ``content_sha256``, which change with them.

    Parameters
    ----------
    samples : the study's index; the features must be those of its clips.

    Raises
    ------
    InputError: a broken file, or features of another version of a clip.
    """
    rows, measured = [], {}
    for path in paths:
        with closing(FrameFile(path)) as file:
            rows.append((str(path), file.attrs.text(CONTENT_HASH)))
            if samples is not None:
                hashes = zip(
                    file.values("sample").tolist(), file.values("audio_sha256").tolist(), strict=True
                )
                measured |= {sample: (sha256, path) for sample, sha256 in hashes}
    if samples is not None:
        for sample, sha256 in zip(samples["sample_id"], samples["audio_sha256"], strict=True):
            found, path = measured.get(sample, (None, ", ".join(map(str, paths[:3]))))
            if found != sha256:
                raise InputError(
                    f"{path}: the features of {sample} are not those of its clip as it is now; "
                    f"remake them with: {command('--force', path)}"
                )
    return pd.DataFrame(rows, columns=["path", CONTENT_HASH])


def read_frames(files: pd.DataFrame, sample_ids: Sequence[str]) -> xr.Dataset:
    """Read the frame features of all samples, put in order.

    Parameters
    ----------
    files : of `frame_files`, each of some of the samples.
    sample_ids : [N] the order of the axis ``sample``.

    Raises
    ------
    InputError: a file that is missing, broken, or not the one that was listed; a sample that none of the
        files holds.
    """
    parts = []
    for path, content in zip(files["path"], files[CONTENT_HASH], strict=True):
        with closing(FrameFile(path, content=content)) as file:
            parts.append(file.frames())
    frames = cast(xr.Dataset, xr.concat(parts, dim="sample"))
    absent = sorted(set(sample_ids) - set(frames["sample"].values.tolist()))
    if absent:
        raise InputError(f"sample {absent[0]!r} has no frame features: remake acoustics/frames")
    return frames.sel(sample=list(sample_ids))
