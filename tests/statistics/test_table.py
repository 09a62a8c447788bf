"""What an analysis found in several layers is written as one table, and as a file of arrays for each."""

import weakref

import numpy as np
import pandas as pd
import pytest

from innerear.errors import InputError
from innerear.io.tables import read_table
from innerear.stacks import open_layers
from innerear.statistics.table import LayerResult, write_layers


def found(layers):
    """What was found in some layers, one when it is asked for."""
    for layer in layers:
        table = pd.DataFrame({"layer": [layer, layer], "estimate": [0.5, np.nan]})
        arrays = {"x": (("i",), np.full(2, layer))}
        further = {"dimensions": pd.DataFrame({"layer": [layer]})}
        null = pd.DataFrame({"moved": ["permutation"], "0": [layer / 10]})
        result = LayerResult(table, null, arrays, {"i": [0, 1]}, further)
        yield result, {"layer": layer, "stacks_sha256": "same"}


@pytest.fixture
def outputs(tmp_path):
    files = {name: f"{tmp_path}/{name}/layers_03-12.tsv" for name in ("table", "null", "dimensions")}
    return files | {"arrays": f"{tmp_path}/arrays/03-12"}


def test_layers_are_joined_in_tables_and_apart_in_arrays(outputs):
    write_layers(found((3, 12)), outputs)
    table = read_table(outputs["table"])
    assert table["layer"].tolist() == [3, 3, 12, 12]
    assert table["estimate"].isna().tolist() == [False, True, False, True]
    assert read_table(outputs["dimensions"])["layer"].tolist() == [3, 12]
    assert read_table(outputs["null"])["0"].tolist() == [0.3, 1.2]
    with open_layers([outputs["arrays"]]) as layers:
        assert {layer: file.values("x").tolist() for layer, file in layers.items()} == {
            3: [3, 3],
            12: [12, 12],
        }


def test_arrays_of_a_layer_are_written_before_the_next_is_analysed(outputs, tmp_path):
    analysed = found((3, 12))
    first = next(analysed)

    def one_by_one():
        yield first
        assert (tmp_path / "arrays/03-12/layer_03.h5").exists()
        yield from analysed

    write_layers(one_by_one(), outputs)
    assert (tmp_path / "arrays/03-12/layer_12.h5").exists()


def test_a_layer_is_not_held_while_the_next_is_analysed(outputs):
    held = []

    def one_by_one():
        for layer in (3, 12):
            assert [one() for one in held] == [None] * len(held)
            ((result, attrs),) = found((layer,))
            held.append(weakref.ref(result))
            yield result, attrs
            del result

    write_layers(one_by_one(), outputs)
    assert len(held) == 2


def test_no_table_is_written_when_a_layer_fails(outputs, tmp_path):
    def failing():
        yield from found((3,))
        raise InputError("layer 12 cannot be read")

    with pytest.raises(InputError, match="layer 12"):
        write_layers(failing(), outputs)
    assert not list(tmp_path.rglob("*.tsv"))
