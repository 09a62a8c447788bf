"""The GPU script runs dry: each of its sections yields rows of finite values at a tiny size on a CPU."""

import importlib
import math
import sys
from pathlib import Path

import pytest

from innerear.models.decoder import StaticDecoder

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
SECTIONS = ("machine", "graphs", "overhead", "rows", "study", "replay", "float32", "dictionary", "deviation")


@pytest.fixture(scope="module")
def gpu():
    """The script as a module; its siblings are importable as they are when it runs."""
    sys.path.insert(0, str(BENCHMARKS))
    yield importlib.import_module("gpu")
    sys.path.remove(str(BENCHMARKS))


@pytest.fixture(scope="module")
def table(gpu, tmp_path_factory):
    """All sections at the tiny size, and the TSV."""
    path = tmp_path_factory.mktemp("gpu") / "gpu.tsv"
    return gpu.main(["--tiny", "--device", "cpu", "--output", str(path)]), path


def values(table, section: str, part: str) -> list[float]:
    """Values of a section's rows that have this in their name."""
    return [row.value for row in table.rows if row.section == section and part in row.what]


@pytest.mark.parametrize("section", SECTIONS)
def test_every_section_yields_finite_values(table, section):
    rows = [row for row in table[0].rows if row.section == section]
    assert rows
    for row in rows:
        assert row.what not in ("failed", "skipped"), row
        assert (section == "machine" and isinstance(row.value, str)) or math.isfinite(row.value), row


def test_the_file_holds_the_table(table):
    lines = table[1].read_text().splitlines()
    assert lines[0].split("\t") == ["section", "what", "value", "unit", "baseline"]
    assert len(lines) == 1 + len(table[0].rows)
    assert {line.count("\t") for line in lines} == {4}


def test_float32_tokens_are_equal_in_every_batch_with_the_offset_and_by_either_decoder(table):
    assert set(values(table[0], "float32", "tokens equal")) == {1.0}
    assert set(values(table[0], "deviation", "tokens equal")) == {1.0}
    assert values(table[0], "graphs", "tokens equal") == [1.0, 1.0]
    assert values(table[0], "graphs", "against unrecorded steps") == [0.0]
    assert set(values(table[0], "rows", "tokens equal")) == {1.0}
    assert values(table[0], "rows", "run again: draws that differ") == [0.0]
    assert values(table[0], "rows", "audiocraft against static: draws that differ") == [0.0]


def test_graphs_are_counted_only_if_they_are_recorded(gpu, table):
    assert values(table[0], "graphs", "steps recorded") == [0.0]  # on a CPU they run as they are
    counted = importlib.import_module("gpu_graphs")._Counted(lambda step: lambda: step())
    counted(lambda: None)
    assert (counted.asked, counted.done) == (1, 1)


def test_no_timed_call_records_graphs(gpu, monkeypatch):
    bench = gpu.Bench(gpu.TINY, "cpu")
    model, recorded, during = bench.model("float32"), [], []
    model._static = StaticDecoder(model.network, lambda step: recorded.append(step) or (lambda: step()))
    seconds = bench.seconds

    def counted(call):
        before = len(recorded)
        taken = seconds(call)
        during.append(len(recorded) - before)
        return taken

    monkeypatch.setattr(bench, "seconds", counted)
    for section in (gpu.overhead, gpu.study, gpu.replay):
        section(bench, gpu.Table())
    assert recorded
    assert not any(during)


def test_cuda_starts_before_recording_is_timed(gpu, monkeypatch):
    graphs, order = importlib.import_module("gpu_graphs"), []
    bench, composed = gpu.Bench(gpu.TINY, "cpu"), graphs._composed

    monkeypatch.setattr(graphs, "_composed", lambda *how: order.append("run") or composed(*how))
    monkeypatch.setattr(bench, "seconds", lambda call: (order.append("timed"), call(), 1.0)[-1])
    gpu.graphs(bench, gpu.Table())
    assert order[:5] == ["run", "timed", "run", "timed", "run"]


@pytest.mark.parametrize(
    ("card", "bandwidth"),
    [("NVIDIA H200", 4.8e12), ("NVIDIA H100 PCIe", 2e12), ("NVIDIA GH200 480GB", 1.0), ("another", 1.0)],
)
def test_a_bandwidth_is_stated_of_this_very_card_or_measured(gpu, monkeypatch, card, bandwidth):
    bench = gpu.Bench(gpu.TINY, "cuda")
    monkeypatch.setattr(gpu.torch.cuda, "get_device_name", lambda: card)
    monkeypatch.setattr(bench, "copied", lambda: 1.0)
    assert bench.bandwidth() == bandwidth


def test_every_fault_is_far_from_a_replay(table):
    assert min(values(table[0], "deviation", "least fault ÷ replay")) > 1000


def test_rounding_the_offset_away_costs_what_centring_saves(table):
    (raw,) = values(table[0], "deviation", "offset: stored float16, raw, delta")
    (centred,) = values(table[0], "deviation", "offset: stored float16, centred, delta")
    assert raw > 5 * centred


def test_a_section_that_fails_leaves_its_reason_and_the_others_run(gpu):
    table = gpu.Table()
    table.guarded("first", lambda: [][0])
    table.guarded("second", lambda: table.add("fine", 1.0))
    assert [(row.section, row.what) for row in table.rows] == [("first", "failed"), ("second", "fine")]
    assert "list index out of range" in table.rows[0].baseline


def test_after_its_time_no_section_begins(gpu):
    table = gpu.main(["--tiny", "--device", "cpu", "--sections", "overhead", "--seconds", "1e-9"])
    assert [row.what for row in table.rows] == ["skipped"]


def test_without_a_gpu_only_the_dry_run_runs(gpu):
    with pytest.raises(SystemExit, match="--tiny"):
        gpu.main(["--device", "cpu"])
