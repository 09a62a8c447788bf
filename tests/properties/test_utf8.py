"""Files are UTF-8 whatever the locale says: nothing opens a text without naming its encoding."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from snakemake_runs import command

ROOT = Path(__file__).parents[2]
CODE = [
    path
    for folder in ("src", "scripts", "workflow", "benchmarks", "docs", "resources")
    for path in sorted((ROOT / folder).rglob("*.py"))
]
#: a locale whose letters are ASCII, without Python's own ways around it
ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
BINARY = re.compile(r"'[rwxa+]*b[rwxa+]*'")
POSITION = {"open": 3, "read_text": 0, "write_text": 1, "fdopen": 3}


def without_encoding(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = node.func
            name = called.id if isinstance(called, ast.Name) else getattr(called, "attr", "")
            if name == "open" and not isinstance(called, ast.Name):
                continue  # os.open; Path.open is not used
            given = [ast.unparse(one) for one in (*node.args, *(word.value for word in node.keywords))]
            binary = name in ("open", "fdopen") and any(map(BINARY.fullmatch, given))
            words = [word.arg for word in node.keywords]
            named = len(node.args) > POSITION.get(name, 9) or "encoding" in words
            if name in POSITION and not binary and not named:
                yield node.lineno


@pytest.mark.parametrize("path", CODE, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_text_is_opened_with_its_encoding(path):
    assert not list(without_encoding(ast.parse(path.read_text("utf-8"))))


def test_the_rules_open_a_text_with_its_encoding():
    for path in (ROOT / "workflow/rules").glob("*.smk"):
        assert not re.findall(r"(?:read|write)_text\(\)", path.read_text("utf-8"))


def test_what_names_no_encoding_is_found():
    found = without_encoding(ast.parse("open(p)\nopen(p, 'rb')\np.read_text()\nopen(p, 'w', 1, 'utf-8')\n"))
    assert list(found) == [1, 3]


@pytest.mark.parametrize("charset", ["ascii", "latin-1"])
def test_a_job_prints_and_logs_any_letter_in_any_locale(tmp_path, charset):
    code = """
from innerear.io.log import log_to
with log_to("job.log"):
    print("piano, … 東京")
    raise SystemExit(0)
"""
    (tmp_path / "job.py").write_text(code, "utf-8")
    done = subprocess.run(
        [sys.executable, "job.py"],
        cwd=tmp_path,
        env=os.environ | ASCII | {"PYTHONIOENCODING": f"{charset}:strict"},
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == rb"piano, \u2026 \u6771\u4eac" + b"\n"
    assert "piano, … 東京" in (tmp_path / "job.log").read_text("utf-8")


def test_a_study_is_read_in_any_locale(tmp_path):
    study = "study: letters\nprompts:\n  templates: [{id: p, text: 'ein {emotion} Stück – 東京'}]\n"
    study += "  emotions: [{id: calm}, {id: happy}]\nseeds: [0]\n"
    (tmp_path / "config.yaml").write_text(study, "utf-8")
    done = subprocess.run(
        command("-n", "--quiet", "rules"), cwd=tmp_path, env=os.environ | ASCII, capture_output=True
    )
    assert done.returncode == 0, done.stderr
    assert b"2 = 2 prompts" in done.stderr
