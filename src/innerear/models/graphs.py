"""A step as a CUDA graph: the commands that it gives the GPU are recorded once and then replayed."""

import sys
from collections.abc import Callable
from functools import cache

import torch

#: Runs a step on the buffers that it reads; returns logits and states, which the next run may overwrite.
Step = Callable[[], tuple[torch.Tensor, list[torch.Tensor]]]

# Of the logits' spread: what float16 products may differ by when a graph chooses them anew.
_ROUNDING = 0.01
_WARNING = "the steps are not recorded as CUDA graphs, and run slower with the same tokens"

#: Turns a step that has run once into one that does the same.
Record = Callable[[Step], Step]


def unrecorded(step: Step) -> Step:
    """Leave a step as it is."""
    return step


class CudaGraphs:
    """Records steps as CUDA graphs. After a failure it says why, and later steps stay as they are too.

    A step may run again on the same buffers. While it is recorded, the GPU does nothing: only replays fill
    what the step returns, and the first is compared with a run. The buffers keep their places, and nothing in
    the step may depend on values that Python knows.
    """

    def __init__(self) -> None:
        self._failed = False

    def __call__(self, step: Step) -> Step:
        """Record a step (a `Record`)."""
        if self._failed:
            return step
        own, side = torch.cuda.current_stream(), _side(torch.cuda.current_device())
        graph = torch.cuda.CUDAGraph()
        try:
            # Other threads may use CUDA meanwhile.
            with torch.cuda.graph(graph, stream=side, capture_error_mode="thread_local"):
                made = step()
            expected = step()[0].clone()
            graph.replay()
            if not torch.allclose(made[0], expected, rtol=0, atol=_ROUNDING * float(expected.std())):
                raise RuntimeError("a replay gave other logits")
        except RuntimeError as error:  # also where memory runs out: as it is, the step needs less
            self._failed = True
            reason = str(error.__context__ or error).strip().partition("\n")[0]
            print(f"{_WARNING}: {reason}", file=sys.stderr)
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
