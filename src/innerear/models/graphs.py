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

    Raises
    ------
    torch.OutOfMemoryError: the memory that is left does not hold what the graph keeps.
    """
    graph, stream = torch.cuda.CUDAGraph(), torch.cuda.current_stream()
    try:
        # Other threads may use CUDA meanwhile.
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            made = step()
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        _say(str(error).strip().splitlines()[0])
        return step
    finally:
        torch.cuda.set_stream(stream)  # a recording that fails leaves its own

    def replay() -> tuple[torch.Tensor, list[torch.Tensor]]:
        graph.replay()
        return made

    return replay


@cache
def _say(reason: str) -> None:
    print(
        f"the steps are not recorded as CUDA graphs, and run slower with the same tokens: {reason}",
        file=sys.stderr,
    )
