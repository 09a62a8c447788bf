"""What a training phase reports while it runs."""

import logging
import time


class Progress:
    """Logs a running mean of the loss now and then."""

    def __init__(self, name: str, steps: int) -> None:
        self.name, self.steps = name, steps
        self.started, self.mean = time.perf_counter(), None

    def report(self, step: int, loss: float) -> None:
        """Take in one step's loss."""
        self.mean = loss if self.mean is None else 0.98 * self.mean + 0.02 * loss
        if step % 100 == 0 or step == self.steps - 1:
            seconds = time.perf_counter() - self.started
            logging.info("%s step %d/%d loss %.3f (%.0f s)", self.name, step, self.steps, self.mean, seconds)
