"""Renew what the pages in docs/ take from the schema, from the default study and from the workflow.

In a page, a part stands between ``<!-- name -->`` and ``<!-- /name -->``.
"""

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Iterable
from html import escape
from pathlib import Path
from textwrap import wrap

import yaml

from innerear.study.config import documented_keys
from innerear.study.study import Study

ROOT = Path(__file__).parents[1]
SCHEMA = yaml.safe_load((ROOT / "workflow/schemas/config.schema.yaml").read_text("utf-8"))
_WIDTH, _GAP, _LINE, _PAD = 340, 46, 17, 12


def config_table() -> str:
    """The keys of a study as a Markdown table."""
    rows = ["| key | meaning | default | allowed |", "| --- | --- | --- | --- |"]
    for key, part in documented_keys(SCHEMA):
        default = f"`{json.dumps(part['default'])}`" if "default" in part else "must be given"
        rows.append(f"| `{key}` | {part['description']} | {default} | {_allowed(part)} |")
    return "\n".join(rows)


def _allowed(part: dict) -> str:
    if "anyOf" in part and "type" not in part:
        return "; or ".join(map(_allowed, part["anyOf"]))
    if "enum" in part:
        return ", ".join(f"`{value}`" for value in part["enum"])
    bounds = [("exclusiveMinimum", ">"), ("minimum", "≥"), ("exclusiveMaximum", "<"), ("maximum", "≤")]
    limits = [f"{sign} {part[name]}" for name, sign in bounds if name in part]
    kinds = part.get("type", "see the schema")
    words = kinds if isinstance(kinds, str) else " or ".join(kinds)
    if "enum" in part.get("items", {}):
        words += f" of {_allowed(part['items'])}"
    return ", ".join([words, *limits])


def estimate() -> str:
    """What the default study takes, as the dry run says it."""
    study = Study.from_settings(yaml.safe_load((ROOT / "config.yaml").read_text("utf-8")), SCHEMA)
    return f"```text\n{study.announcement}\n```"


def rules_by_group() -> dict[str, list[str]]:
    """Names of the rules in each file of workflow/rules, in the order of the Snakefile."""
    groups = re.findall(r'include: "workflow/rules/(\w+).smk"', (ROOT / "Snakefile").read_text("utf-8"))
    rules = {group: (ROOT / f"workflow/rules/{group}.smk").read_text("utf-8") for group in groups}
    named = r"^ *(?:rule |use rule \w+ as |copy_of\(\")(\w+)"
    return {group: found for group, text in rules.items() if (found := re.findall(named, text, re.M))}


def needs(groups: dict[str, list[str]]) -> set[tuple[str, str]]:
    """Pairs of groups: the second reads what the first makes. Those that follow from others are left out."""
    command = [sys.executable, "-m", "snakemake", "--rulegraph", "mermaid-js", "--forceall"]
    graph = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    rule = dict(re.findall(r"(id\d+)\[(\w+?)(?:_\d+)?\]", graph))  # copies of a rule have a number
    group = {name: one for one, names in groups.items() for name in names}
    arrows = [(rule[one], rule[other]) for one, other in re.findall(r"(id\d+) --> (id\d+)", graph)]
    pairs = {(group[one], group[other]) for one, other in arrows if other in group}
    pairs = {(one, other) for one, other in pairs if one != other}
    return {(a, c) for a, c in pairs if not any((a, b) in pairs and (b, c) in pairs for b in groups)}


def picture_of_rules() -> str:
    """The groups of rules as an SVG: a box each, in columns, and an arrow where one needs another."""
    groups = rules_by_group()
    arrows = needs(groups)
    column: dict[str, int] = {}
    for group in groups:
        column[group] = 1 + max((column[one] for one, other in arrows if other == group), default=-1)
    texts = {group: _box_lines(group, names) for group, names in groups.items()}
    heights = {group: _LINE * (len(lines) + 1) + 2 * _PAD for group, lines in texts.items()}
    members = {i: [group for group in groups if column[group] == i] for i in set(column.values())}
    tall = max(sum(heights[group] + _PAD for group in some) for some in members.values())
    places = {}
    for i, some in members.items():
        y = _PAD + (tall - sum(heights[group] + _PAD for group in some)) / 2
        for group in some:
            places[group] = (_PAD + i * (_WIDTH + _GAP), y)
            y += heights[group] + _PAD
    ends = sorted(arrows)
    shapes = [_arrow(places[one], heights[one], places[other], heights[other]) for one, other in ends]
    shapes += [_box(group, places[group], heights[group], texts[group]) for group in groups]
    size = f'width="{len(members) * (_WIDTH + _GAP) - _GAP + 2 * _PAD}" height="{tall + _PAD:.0f}"'
    return "\n".join([_HEAD.format(size=size), *shapes, "</svg>\n"])


_HEAD = """<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="12">
<rect width="100%" height="100%" fill="white"/>
<marker id="tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="8" markerHeight="8" orient="auto">
<path d="M0 0 L10 5 L0 10 z" fill="#555"/></marker>"""


def _box_lines(group: str, names: Iterable[str]) -> list[tuple[str, str]]:
    """Colour and text of each line: what the group's `rule all_…` says, and its rules that compute."""
    text = (ROOT / f"workflow/rules/{group}.smk").read_text("utf-8")
    said = re.search(rf'rule all_{group}:\n    """(.*?)"""', text, re.S)
    computing = [name for name in names if not re.search(r"^all_|^plot_|_map$", name)]
    about = wrap(said[1], 48) if said else []
    return [*(("#000", line) for line in about), *(("#06c", line) for line in wrap(", ".join(computing), 44))]


def _box(group: str, place: tuple[float, float], height: float, lines: list[tuple[str, str]]) -> str:
    (x, y), left = place, place[0] + _PAD
    text = [f'<text x="{left}" y="{y + 22:.0f}" font-size="14" font-weight="bold">{group}</text>']
    for i, (colour, line) in enumerate(lines, start=1):
        text.append(f'<text x="{left}" y="{y + 22 + i * _LINE:.0f}" fill="{colour}">{escape(line)}</text>')
    size = f'width="{_WIDTH}" height="{height}" rx="6"'
    frame = f'<rect x="{x}" y="{y:.0f}" {size} fill="#f4f6f8" stroke="#555"/>'
    return "\n".join([frame, *text])


def _arrow(one: tuple[float, float], tall: float, other: tuple[float, float], high: float) -> str:
    start, end = (one[0] + _WIDTH, one[1] + tall / 2), (other[0], other[1] + high / 2)
    ends = 'x1="{:.0f}" y1="{:.0f}" x2="{:.0f}" y2="{:.0f}"'.format(*start, *end)
    return f'<line {ends} stroke="#555" marker-end="url(#tip)"/>'


def renewed(page: Path, **parts: str) -> str:
    """Return the text of a page with its parts as they are now."""
    text = page.read_text("utf-8")
    for name, part in parts.items():
        pattern = rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)"
        text = re.sub(pattern, lambda found, part=part: f"{found[1]}{part}\n{found[2]}", text, flags=re.S)
    return text


def main() -> None:
    """Renew the pages, or check them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--check", action="store_true", help="write nothing; the exit status tells whether all is up to date"
    )
    check = parser.parse_args().check
    docs = ROOT / "docs"
    current = {
        docs / "settings.md": renewed(docs / "settings.md", config=config_table()),
        docs / "dry_run.md": renewed(docs / "dry_run.md", estimate=estimate()),
        docs / "images/rules.svg": picture_of_rules(),
    }
    stale = [path for path, text in current.items() if not path.exists() or path.read_text("utf-8") != text]
    if check and stale:
        sys.exit(f"out of date, run make docs: {', '.join(str(path.relative_to(ROOT)) for path in stale)}")
    for path in stale:
        path.write_text(current[path], "utf-8")


if __name__ == "__main__":
    main()
