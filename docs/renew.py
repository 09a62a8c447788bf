"""Renew the parts of README.md that come from the schema and from the workflow itself.

A part stands between ``<!-- name -->`` and ``<!-- /name -->``. With ``--check``, nothing is
written and the exit status tells whether the README is up to date.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

import yaml

from innerear.study.config import documented_keys
from innerear.study.study import Study

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"


def config_table() -> str:
    """The keys of a study as a Markdown table."""
    schema = yaml.safe_load((ROOT / "workflow/schemas/config.schema.yaml").read_text())
    rows = ["| key | meaning | default | allowed |", "| --- | --- | --- | --- |"]
    for key, part in documented_keys(schema):
        default = f"`{json.dumps(part['default'])}`" if "default" in part else "must be given"
        rows.append(f"| `{key}` | {part['description']} | {default} | {_allowed(part)} |")
    return "\n".join(rows)


def _allowed(part: dict) -> str:
    if "enum" in part:
        return ", ".join(f"`{value}`" for value in part["enum"])
    bounds = [("exclusiveMinimum", "> {}"), ("minimum", "≥ {}"), ("maximum", "≤ {}")]
    limits = [text.format(part[name]) for name, text in bounds if name in part]
    kinds = part.get("type", "see the schema")
    return ", ".join([kinds if isinstance(kinds, str) else " or ".join(kinds), *limits])


def estimate() -> str:
    """What the default study takes, as the dry run says it."""
    schema = yaml.safe_load((ROOT / "workflow/schemas/config.schema.yaml").read_text())
    study = Study.from_settings(yaml.safe_load((ROOT / "config.yaml").read_text()), schema)
    return f"```text\n{study.announcement}\n```"


def rule_graph() -> str:
    """The rule graph as a mermaid block: rules by name, without the target that asks for everything."""
    command = [sys.executable, "-m", "snakemake", "--rulegraph", "mermaid-js", "--forceall"]
    graph = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    name = dict(re.findall(r"(id\d+)\[(\w+)\]", graph))
    edges = sorted((name[one], name[other]) for one, other in re.findall(r"(id\d+) --> (id\d+)", graph))
    lines = [f"    {one} --> {other}" for one, other in edges if other != "all"]
    return "\n".join(["```mermaid", "flowchart TB", *lines, "```"])


def main() -> None:
    """Renew the README, or check it."""
    text = README.read_text()
    for name, part in (("config", config_table()), ("estimate", estimate()), ("rules", rule_graph())):
        text = re.sub(
            rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)",
            lambda m, p=part: m[1] + p + "\n" + m[2],
            text,
            flags=re.S,
        )
    if "--check" in sys.argv:
        sys.exit(text != README.read_text() and "README.md is out of date: run make docs")
    README.write_text(text)


if __name__ == "__main__":
    main()
