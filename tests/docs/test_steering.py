"""The notebook on steering runs from top to bottom on nano, and the doses do what its text says."""

from ast import literal_eval
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[2] / "docs/steering.ipynb"


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """What the cells of the notebook return, after a run in an empty folder."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    folder = tmp_path_factory.mktemp("notebook")
    done = NotebookClient(notebook, timeout=240, resources={"metadata": {"path": str(folder)}}).execute()
    outputs = [output for cell in done.cells for output in cell.get("outputs", [])]
    assert sum("<audio" in str(output.get("data", {}).get("text/html", "")) for output in outputs) == 5
    return [
        literal_eval(output["data"]["text/plain"])
        for output in outputs
        if output["output_type"] == "execute_result"
    ]


def test_it_is_committed_without_outputs():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell for cell in code if cell.outputs or cell.execution_count] == []


def test_loudness_follows_the_dose_and_likelihood_has_its_price(answers):
    levels, nll, _ = answers
    assert levels[0.5] - levels[-0.5] > 6
    assert max(nll[0.5], nll[-0.5]) > nll[0.0]


def test_an_edit_of_the_second_half_leaves_the_first(answers):
    same = float(answers[2].split()[2])
    assert 1.5 < same < 3
