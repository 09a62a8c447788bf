"""The notebook runs from top to bottom on the nano model, and shows what its text says."""

from ast import literal_eval
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[2] / "docs/quickstart.ipynb"


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """The notebook after a run in an empty folder."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    folder = tmp_path_factory.mktemp("notebook")
    return NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(folder)}}).execute()


def outputs(notebook, kind):
    return [
        output["data"][kind]
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if kind in output.get("data", {})
    ]


def test_it_is_committed_without_outputs():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert len(notebook.cells) == 10
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell for cell in code if cell.outputs or cell.execution_count] == []


def test_its_axes_are_named(executed):
    axes = literal_eval(outputs(executed, "text/plain")[0])
    assert axes == {"step": 153, "branch": 2, "sample": 12, "d_model": 96}


def test_its_branches_are_what_the_text_says(executed):
    difference = literal_eval(next(text for text in outputs(executed, "text/plain") if "uncond" in text))
    assert difference["uncond, all clips"] < 1e-4
    assert difference["cond, happy clips"] < 1e-4
    assert difference["cond, happy against sad"] > 0.1


def test_it_plays_a_clip_and_draws_one_figure(executed):
    assert len(outputs(executed, "image/png")) == 1
    assert "<audio" in "".join(outputs(executed, "text/html"))
