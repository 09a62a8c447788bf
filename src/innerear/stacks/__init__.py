"""Timestep stacks and Gram files: the only package that knows their layout in HDF5.

Every axis is a netCDF-4 dimension scale: h5py, h5netcdf and
``xarray.open_dataset(path, engine="h5netcdf", group="residual")`` see it by name.

Stack, one file per sample::

    attrs                schema, name, sample and prompt, settings, model, generation, versions, hashes
    contents             JSON text: axes, type, shape and hashes of each dataset (`innerear.io.hdf5`)
    codes                int16 [codebook, frame]
    step/window          int32 [step]; step/position, int32 [step]: the place in the window's sequence
    step/frame           int32 [step, codebook], −1 = padding
    step/reread          bool [step, codebook], whether that frame had been written before
    step/seconds         float32 [step]
    step/complete        bool [step]
    step/input_gap       float32 [step], how far the branches' inputs of layer 0 differ (cross-attention)
    residual/layer_00 …  float16 or float32 [branch, step, d_model]; in the same way for other sites
    likelihood/nll       float32 [distribution, codebook, frame], of replayed stacks

The names are imported on first use: a job that writes stacks needs no pandas.
"""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from innerear.stacks.counterfactual_files import open_templates, part_name, template_files, template_part
    from innerear.stacks.gram_file import GramFile, open_layers
    from innerear.stacks.index import require_stacks, stacks_hash
    from innerear.stacks.stack import BRANCHES, LayerReader, Stack, StackWriter, tokens_hash

__all__ = [
    "BRANCHES",
    "GramFile",
    "LayerReader",
    "Stack",
    "StackWriter",
    "open_layers",
    "open_templates",
    "part_name",
    "require_stacks",
    "stacks_hash",
    "template_files",
    "template_part",
    "tokens_hash",
]

__getattr__, __dir__, _ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "counterfactual_files": ["open_templates", "part_name", "template_files", "template_part"],
        "gram_file": ["GramFile", "open_layers"],
        "index": ["require_stacks", "stacks_hash"],
        "stack": ["BRANCHES", "LayerReader", "Stack", "StackWriter", "tokens_hash"],
    },
)
