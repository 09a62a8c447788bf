"""A step as a CUDA graph: the commands that it gives the GPU are recorded once and then replayed."""

import sys
from collections.abc import Callable
from functools import cache

import torch

#: Runs a step on the buffers that it reads; returns logits and states, which the next run may overwrite.
Step = Callable[[], tuple[torch.Tensor, list[torch.Tensor]]]

#: Turns a step that has run once into one that does the same.
Record = Callable[[Step], Step]


def unrecorded(step: Step) -> Step:
    """Leave a step as it is."""
    return step


def cuda_graph(step: Step) -> Step:
    """Record a step as a CUDA graph; where that fails, say why and leave the step as it is.

    While it is recorded, the GPU does nothing: only replays fill what the step returns. Its buffers keep
    their places, and nothing in it may depend on values that Python knows.
    """
    graph, own, side = torch.cuda.CUDAGraph(), torch.cuda.current_stream(), _side(torch.cuda.current_device())
    try:
        # Other threads may use CUDA meanwhile.
        with torch.cuda.graph(graph, stream=side, capture_error_mode="thread_local"):
            made = step()
    except RuntimeError as error:  # also where memory runs out: as it is, the step needs less
        _say(str(error.__context__ or error).strip().partition("\n")[0])
        return step
    finally:
        torch.cuda.set_stream(own)  # a recording that fails leaves its own

    def replay() -> tuple[torch.Tensor, list[torch.Tensor]]:
        graph.replay()
        return made

    return replay


@cache
def _side(device: int) -> torch.cuda.Stream:
    """Return the stream on which steps of a device are recorded; torch's own is that of the first device."""
    return torch.cuda.Stream(device)


@cache
def _say(reason: str) -> None:
    print(
        f"the steps are not recorded as CUDA graphs, and run slower with the same tokens: {reason}",
        file=sys.stderr,
    )
