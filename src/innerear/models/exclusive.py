"""One run of a network at a time, in eval mode."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock, RLock
from weakref import WeakKeyDictionary

from torch import nn

_locks: WeakKeyDictionary[nn.Module, RLock] = WeakKeyDictionary()
_making = Lock()


@contextmanager
def exclusive(*networks: nn.Module) -> Iterator[None]:
    """Keep other threads from the first network, and put all of them in eval mode; both end with the context.

    A transformer keeps its past keys and values in its modules while it generates, and hooks record whoever
    runs it. In train mode, a text encoder drops words.
    """
    with _making:
        lock = _locks.setdefault(networks[0], RLock())
    with lock:
        training = [module for network in networks for module in network.modules() if module.training]
        try:
            for network in networks:
                network.eval()
            yield
        finally:
            for module in training:
                module.training = True
