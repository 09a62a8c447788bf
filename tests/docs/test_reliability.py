"""The page of promises names tests that there are."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_promise_has_a_test():
    page = (ROOT / "docs/reliability.md").read_text(encoding="utf-8")
    rows = [
        line
        for line in page.splitlines()
        if line.startswith("| ") and not line.startswith(("| ---", "| promise", "| what"))
    ]
    assert len(rows) > 20
    for row in rows:
        named = re.findall(r"`([a-z]+/test_\w+\.py)`", row)
        assert named, row
        for name in named:
            assert (ROOT / "tests" / name).is_file(), name
