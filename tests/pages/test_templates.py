"""What is filled into a template is escaped, a missing value is an error, and a wheel has all templates."""

import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest
from jinja2 import UndefinedError

import innerear.pages
from innerear.pages.templates import fill

ROOT = Path(__file__).parents[2]


def test_values_are_escaped_in_text_and_attributes():
    clip = {"name": '"><script>', "strips": {"<b>": "data:,"}, "ticks": {}}
    page = fill("strips.html", clip=clip)
    assert "<script>" not in page and "<b>&" not in page
    assert "&lt;script&gt;" in page and "&lt;b&gt;" in page


def test_a_value_that_lacks_is_an_error():
    with pytest.raises(UndefinedError, match="clip"):
        fill("strips.html")


def test_an_installed_package_has_every_file_that_pages_use():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    patterns = project["tool"]["setuptools"]["package-data"]["innerear.pages"]
    files = [path for path in Path(innerear.pages.__file__).parent.iterdir() if path.is_file()]
    assert all(path.suffix == ".py" or any(fnmatch(path.name, one) for one in patterns) for path in files)
