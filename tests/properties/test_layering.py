"""Packages import only from packages below them, and what the Snakefile imports stays light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "innerear"

# Low to high; packages of one row do not import each other.
LEVELS = [
    {"errors"},
    {"timeline", "io"},
    {"study"},
    {"acoustics", "stacks"},
    {"models", "statistics", "gram"},
    {"features"},
    {"capture", "analyses", "results"},
    {"interventions"},
    {"figures"},
    {"pages"},
    {"__init__", "__main__"},
]
LEVEL = {package: number for number, packages in enumerate(LEVELS) for package in packages}


def test_the_page_on_the_workflow_names_them_in_this_order():
    text = (SOURCE.parents[1] / "docs/workflow.md").read_text("utf-8")
    line = " ".join(text[text.index("errors → ") :].split("\n\n")[0].split())
    assert line == " → ".join(", ".join(sorted(row, key=line.index)) for row in LEVELS[:-1])


def modules():
    return sorted(SOURCE.rglob("*.py"))


def part(path):
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative import"
            if node.module == "innerear":
                yield from (f"innerear.{alias.name}" for alias in node.names if alias.name != "__version__")
            else:
                yield node.module


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_point_down(path):
    own = part(path)
    assert own in LEVEL, f"give {own} a level"
    for name in imported(path):
        package, _, rest = name.partition(".")
        assert package != "snakemake", f"{path} imports snakemake"
        if package == "innerear" and rest:
            below = rest.split(".")[0]
            assert below == own or LEVEL[below] < LEVEL[own], f"{path} imports {name}"


def test_what_the_snakefile_imports_is_light():
    code = "import sys, innerear, innerear.study.study, innerear.io.files; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"torch", "pandas", "h5py", "librosa", "matplotlib", "jsonschema"} & set(loaded)


@pytest.mark.parametrize(
    "module", ["analyses.emergence", "analyses.discriminability", "analyses.similarity", "gram.layer_pass"]
)
def test_what_every_layer_imports_is_light(module):
    code = f"import sys, innerear.{module}; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"torch", "scipy.stats", "sklearn", "matplotlib", "librosa"} & set(loaded)


def test_the_public_names_are_named_when_one_is_wrong():
    import innerear

    with pytest.raises(AttributeError, match=r"innerear attribute Extractor"):
        _ = innerear.Extractor
