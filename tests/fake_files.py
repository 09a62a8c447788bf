"""A small stack and a small Gram file, and all that is read of each."""

import numpy as np

from innerear.stacks import GramFile, LayerReader, Stack, StackWriter
from innerear.timeline import Timeline


def write_stack(path):
    attrs = {"sample_id": "piano-sad/seed-0", "emotion": "sad", "seed": 0, "model": "nano", "text": "sad"}
    codes = np.arange(80).reshape(4, 20) % 7
    with StackWriter(path, attrs, codes, Timeline(20, 4, 50.0)) as stack:
        for layer in (0, 5):
            stack.write("residual", layer, np.random.default_rng(layer).normal(size=(2, 23, 16)))
        stack.write_input_gap(np.zeros(23))


def read_stack(path):
    with Stack(path) as stack, LayerReader(path, 5) as reader:
        states = {layer: stack.read(layer, raw=True).tobytes() for layer in stack.layers()}
        labels = {name: stack.values(f"step/{name}").tolist() for name in stack.timeline.labels()}
        gap = stack.input_gap
        parts = (reader.read(slice(3, 9)).tobytes(), reader.levels.tobytes(), gap is None or gap.tobytes())
        return dict(stack.attrs), stack.branches, states, stack.codes.tolist(), labels, parts


def write_gram(path):
    samples = ["a/seed-0", "b/seed-0"]
    axes = {"step": np.arange(7), "sample": samples, "sample_2": samples}
    rng = np.random.default_rng(0)
    arrays = {
        "gram": (("step", "sample", "sample_2"), rng.normal(size=(7, 2, 2))),
        "complete": (("step",), np.arange(7) > 2),
    }
    GramFile.write(path, arrays, axes, {"layer": 5, "model": "nano"})


def read_gram(path):
    with GramFile(path) as gram:
        coords = {axis: gram.coords(axis).tolist() for axis in ("step", "sample", "sample_2")}
        part = gram.read("gram", step=3, sample="b/seed-0").tolist()
        whole = {name: (gram.dims(name), gram.read(name).tolist()) for name in ("gram", "complete")}
        return dict(gram.attrs), gram.attrs.whole("layer"), coords, part, whole
