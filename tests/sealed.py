"""Change a file of ours so that it passes for what was written: what a wrong capture would have written."""

import json
from contextlib import contextmanager

import h5py
import pandas as pd

from innerear.io.hdf5 import CONTENTS, OF_THE_FILE, Entry, Layout, plain


@contextmanager
def edited(path):
    """The open file, to be changed; its list of contents and its hashes are made anew afterwards."""
    with h5py.File(path, "a") as file:
        yield file
        entries = {name: Entry(**one) for name, one in json.loads(file[CONTENTS][()]).items()}
        layout = Layout.__new__(Layout)
        layout.file = file
        layout._contents = {name: _again(file, name, one) for name, one in entries.items() if name in file}
        for name, value in dict(file.attrs).items():
            if isinstance(value, str) and name not in OF_THE_FILE:
                layout.note(name, value)
        del file[CONTENTS]
        layout.seal(path)


SAID = ("sample_id", "prompt_id", "seed", "n_steps", "tokens_sha256", "content_sha256", "audio_sha256")


def listed(index):
    """The index of what the stacks say now."""
    rows = []
    for row in index.to_dict("records"):
        with h5py.File(row["stack"]) as file:
            rows.append({"recording": ""} | row | {name: plain(file.attrs[name]) for name in SAID})
    return pd.DataFrame(rows)


def _again(file, name, entry):
    if entry.texts is not None:
        return entry
    values = file[name][()]
    values = values.astype(bool) if entry.type == "bool" else values
    return Entry.of(entry.dims, values, entry.axis, entry.rows)
