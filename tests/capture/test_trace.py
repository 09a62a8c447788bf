"""The trace of a model shows what the capture relies on."""

from innerear.__main__ import main
from innerear.capture.trace import trace


def test_each_block_fires_once_a_step_with_both_branches(tiny_model):
    table = trace(tiny_model, duration=0.2).set_index("module")
    block = table.loc["transformer.layers.*"]
    assert (block["instances"], block["calls"], block["first"]) == (3, "13", "2 × 1 × 32")
    assert block["axes"] == "branch, step, d_model"
    assert table.loc["linears.*", "instances"] == 4
    assert table.loc["(the model)", "axes"] == "branch, codebook, step, token"
    assert not any(module._forward_hooks for module in tiny_model.network.modules())


def test_the_command_says_how_axes_are_read(tiny_checkpoint, capsys):
    assert main(["trace", str(tiny_checkpoint), "--duration", "0.1"]) == 0
    shown = capsys.readouterr().out
    assert "0.1 s = 5 frames = 8 steps (5 + 3, the delay of the last codebook)" in shown
    assert "cond first, then uncond" in shown


def test_an_unknown_model_is_an_error_not_a_traceback(capsys):
    assert main(["trace", "nanoo"]) == 1
    assert "did you mean 'nano'" in capsys.readouterr().err
