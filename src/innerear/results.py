"""A study's files for a notebook. They are read on demand, and no model runs."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from innerear.errors import InputError, did_you_mean
from innerear.io.clips import read_clip
from innerear.io.machine import cannot
from innerear.io.names import remake
from innerear.io.tables import read_table
from innerear.stacks.index import sample_table
from innerear.stacks.stack import Stack
from innerear.study.generation_settings import MAX_SEED, integer, switch

if TYPE_CHECKING:
    import xarray as xr

# Folders without tables of results.
_NO_RESULTS = ("audio", "benchmarks", "captures", "logs", "stacks")


class StudyResults:
    """The samples, states, tables and clips of a study.

    Parameters
    ----------
    folder : of the study, ``results/{study}``.

    Attributes
    ----------
    samples : a row per clip: sample_id, prompt_id, template, emotion, ratings, text, seed, and hashes.
    tables : names that `table` knows.
    captures : names of further captures, which `states` reads.

    Raises
    ------
    InputError: a folder that is not there or holds no study; in any method, a name that is not there, or a
        broken file.

    Notes
    -----
    With a study that has run::

        study = open_study("results/emotions_nano")
        states = study.states("piano-happy", seed=0, layer=3)
        states.sel(branch="uncond").mean("step")
    """

    def __init__(self, folder: str | PathLike) -> None:
        if not isinstance(folder, str | PathLike):
            raise InputError(
                f"{folder!r} is no path; give the folder of a study, such as results/emotions_nano"
            )
        self.folder = Path(folder)
        try:
            found = self._index.is_file() or any(self._stacks())
        except OSError as error:
            raise InputError(
                cannot("read", self.folder, error) or f"{folder} cannot be read: {error}"
            ) from None
        if not found:
            raise InputError(
                f"{self.folder} holds no study: it has no samples.tsv and no stacks; "
                f"{_studies_beside(self.folder)}"
            )

    def __repr__(self) -> str:
        try:
            table = self.samples
            models = ", ".join(sorted(set(table["model"].astype(str))))
            of_prompts = table.groupby("prompt_id")["seed"].nunique()
            said = (
                f"{len(table)} samples of {models}: {len(of_prompts)} prompts × {of_prompts.max()} seeds; "
                f"{len(self.tables)} tables"
            )
        except (InputError, KeyError) as error:
            said = str(error)
        return f"<study {str(self.folder)!r}: {said}>"

    @cached_property
    def samples(self) -> pd.DataFrame:
        """A row per clip; while the study still runs, of those that are finished.

        Raises
        ------
        InputError: an index that is broken, or no index.
        """
        table = (
            read_table(self._index)
            if self._index.is_file()
            else sample_table(sorted(self._stacks()), self.folder / "audio")
        )
        if not {"sample_id", "prompt_id", "seed"} <= set(table):
            raise InputError(f"{self._index} is no table of samples; {remake(self._index)}")
        return table

    @property
    def tables(self) -> list[str]:
        """Names of the tables that exist: paths in the folder, without ``/map``, ``/table`` and ``.tsv``."""
        return sorted(self._tables())

    @property
    def captures(self) -> list[str]:
        """Names of the further captures."""
        return sorted(path.name for path in self.folder.glob("captures/*") if path.is_dir())

    def table(self, name: str) -> pd.DataFrame:
        """Return a table, such as ``"similarity"`` or ``"decomposition/likelihood/trained"``.

        Raises
        ------
        InputError: a name that is none of `tables`, or a broken file.
        """
        known = self._tables()
        if name not in known:
            # One of each folder: some folders hold a table of each clip or job.
            folders = {one.rpartition("/")[0]: one for one in sorted(known, reverse=True)}
            own = [one for one in known if "/" not in one]
            inside = [
                f"those in {folder} (such as {one})" for folder, one in sorted(folders.items()) if folder
            ]
            raise InputError(
                f"{self.folder} has no table {name!r}{did_you_mean(str(name), known)}; it has "
                f"{', '.join(sorted(own) + inside)}"
            )
        return read_table(known[name])

    def states(
        self,
        prompt: str | Sequence[str] | None,
        seed: int | Sequence[int] | None,
        layer: int,
        site: str = "residual",
        raw: bool = False,
        capture: str | None = None,
    ) -> "xr.DataArray":
        """Return the hidden states of one layer.

        Parameters
        ----------
        prompt, seed : of one sample; a list, or None for all, gives the samples of all of these.
        layer : 0-based.
        site : of `innerear.study.architectures.SITES`.
        raw : with each state's mean over units, which the model's LayerNorms discard.
        capture : one of `captures`; by default the study's own stacks.

        Returns
        -------
        float32 [branch, step, d_model], with ``seconds`` and ``complete`` along steps; for several samples
        [sample, branch, step, d_model], in the order of `samples`, with ``prompt``, ``emotion`` and ``seed``
        along samples.

        Raises
        ------
        InputError: a prompt, seed, layer, site or capture that the study does not have, or a broken file.
        """
        layer, raw = integer("layer", layer, 0, 100_000), switch("raw", raw)
        chosen = self._chosen(prompt, seed)
        root = self.folder / "stacks"
        if capture is not None:
            if capture not in self.captures:
                known = ", ".join(self.captures) or "none"
                raise InputError(f"{self.folder} has no capture {capture!r}; it has {known}")
            root = self.folder / "captures" / capture
        rows = chosen.to_dict("records")
        every = [_read(root, row, layer, site, raw, of_study=capture is None) for row in rows]
        if isinstance(prompt, str) and not _is_several(seed):
            return every[0]
        return _joined(every, chosen)

    def audio(self, prompt: str, seed: int) -> tuple[np.ndarray, int]:
        """Return a clip, float32 [n] within ±1, and its samples per second."""
        sample = self._one(prompt, seed)
        wave, rate, _ = read_clip(
            self.folder / "audio" / f"{sample['sample_id']}.wav", sample["audio_sha256"]
        )
        return wave[:, 0] if wave.shape[1] == 1 else wave, rate

    @property
    def _index(self) -> Path:
        return self.folder / "samples.tsv"

    def _stacks(self) -> Iterator[Path]:
        return self.folder.glob("stacks/*/seed-*.h5")

    def _tables(self) -> dict[str, Path]:
        names = {}
        parts = [part for part in self.folder.iterdir() if part.name not in _NO_RESULTS]
        files = [path for part in parts for path in ([part] if part.is_file() else part.rglob("*.tsv"))]
        for path in sorted(path for path in files if path.suffix == ".tsv"):
            name = path.relative_to(self.folder).with_suffix("")
            names[(name.parent if name.name in ("map", "table") else name).as_posix()] = path
        return names

    def _one(self, prompt: Any, seed: Any) -> dict[str, Any]:
        if not isinstance(prompt, str) or _is_several(seed):
            raise InputError(
                f"{prompt!r}, {seed!r} name no single sample; give the id of a prompt and a seed"
            )
        return self._chosen(prompt, seed).iloc[0].to_dict()

    def _chosen(self, prompt: Any, seed: Any) -> pd.DataFrame:
        """Return the rows of `samples` that are asked for."""
        table = self.samples
        all_prompts, all_seeds = (list(dict.fromkeys(table[column])) for column in ("prompt_id", "seed"))
        prompts = [prompt] if isinstance(prompt, str) else _listed("prompt", prompt, all_prompts)
        seeds = _listed("seed", seed, all_seeds) if _is_several(seed) else [seed]
        seeds = [integer("seed", one, 0, MAX_SEED) for one in seeds]
        for name, wanted, there in (("prompt", prompts, all_prompts), ("seed", seeds, all_seeds)):
            for one in wanted:
                if one not in there:
                    nearest = did_you_mean(str(one), map(str, there))
                    some = ", ".join(map(str, there[:8])) + (", …" if len(there) > 8 else "")
                    raise InputError(f"{self.folder} has no {name} {one!r}{nearest}; it has {some}")
        rows = table.loc[table["prompt_id"].isin(prompts) & table["seed"].isin(seeds)]
        if rows.empty:
            raise InputError(f"{self.folder} has no sample of prompt {prompt!r} and seed {seed!r}")
        return rows


def open_study(folder: str | PathLike) -> StudyResults:
    """Open a study's folder, ``results/{study}``; see `StudyResults`."""
    return StudyResults(folder)


def _is_several(value: Any) -> bool:
    return value is None or (np.ndim(value) > 0 and not isinstance(value, str))


def _listed(name: str, value: Any, known: list[Any]) -> list[Any]:
    if value is None:
        return known
    if not _is_several(value):
        raise InputError(f"{name}: {value!r} is not allowed; give a {name}, a list of them, or None for all")
    if len(value) == 0:
        raise InputError(f"{name}: the list is empty; give None for all")
    return list(value)


def _read(root: Path, row: dict, layer: int, site: str, raw: bool, *, of_study: bool) -> "xr.DataArray":
    """Return one sample's states [branch, step, d_model], of the study's stack or of a replayed one."""
    import xarray as xr

    path = root / f"{row['sample_id']}.h5"
    with Stack(path, content=row["content_sha256"] if of_study else None) as stack:
        source = stack.attrs["content_sha256" if of_study else "source_sha256"]
        if stack.attrs["sample_id"] != row["sample_id"] or source != row["content_sha256"]:
            raise InputError(
                f"{path} is of {stack.attrs['sample_id']!r} or of another version of it than the index "
                f"lists; {remake(path)}"
            )
        values = stack.read(layer, site, raw=raw).astype(np.float32)
        coords = {
            "branch": list(stack.branches),
            "step": np.arange(values.shape[1]),
            "d_model": np.arange(values.shape[2]),
            "seconds": ("step", stack.seconds),
            "complete": ("step", stack.complete),
        }
        kept = ("sample_id", "text", "model")
        attrs = {name: stack.attrs[name] for name in kept if name in stack.attrs}
    return xr.DataArray(
        values, coords, ("branch", "step", "d_model"), f"{site} of layer {layer}", {**attrs, "raw": int(raw)}
    )


def _joined(every: Sequence["xr.DataArray"], rows: pd.DataFrame) -> "xr.DataArray":
    """Return the states of several samples [sample, branch, step, d_model]."""
    import xarray as xr

    shapes = {one.shape for one in every}
    if len(shapes) > 1:
        raise InputError(
            f"the samples have states of different shapes {sorted(shapes)}; ask for them one by one"
        )
    joined = xr.concat(every, dim="sample", join="override", coords="minimal", compat="override")
    joined.attrs = {name: every[0].attrs[name] for name in ("model", "raw") if name in every[0].attrs}
    names = {"sample": "sample_id", "prompt": "prompt_id", "emotion": "emotion", "seed": "seed"}
    return joined.assign_coords(
        {name: ("sample", rows[column].to_numpy()) for name, column in names.items() if column in rows}
    )


def _studies_beside(folder: Path) -> str:
    """Say which studies there are where one was expected."""
    found = sorted(
        path.parent for root in {folder.parent, Path("results")} for path in root.glob("*/samples.tsv")
    )
    if not found:
        return "give the folder of a study that has run, such as results/emotions_nano"
    return f"there are {', '.join(map(str, found[:8]))}"
