# For the type checker alone: the library's own files lead it through every model there is, for 20 seconds.
from typing import Any

def __getattr__(name: str) -> Any: ...
