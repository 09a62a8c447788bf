"""Settings of a generation have one table of ranges, for configs, models and notebooks."""

import math
from dataclasses import asdict, fields
from fractions import Fraction

import numpy as np
import pytest

from innerear.errors import InputError
from innerear.study.generation_settings import (
    MAX_SEED,
    GenerationSettings,
    check_sample_seeds,
    check_texts,
    own_names,
)

from .conftest import SCHEMA

GENERATION = SCHEMA["properties"]["generation"]["properties"]
NAMES = [field.name for field in fields(GenerationSettings)]


def accepts(name, value):
    try:
        GenerationSettings(**{name: value})
    except InputError:
        return False
    return True


@pytest.mark.parametrize("name", NAMES)
def test_a_config_has_the_same_names_defaults_and_ranges(name):
    key = GENERATION[name]
    assert getattr(GenerationSettings(), name) == key["default"]
    for bound, outwards in (("minimum", -1), ("maximum", 1)):
        if bound in key:
            assert accepts(name, key[bound])
            assert not accepts(name, key[bound] + outwards)
            assert not accepts(name, math.nextafter(key[bound], outwards * math.inf))
    for bound, inwards in (("exclusiveMinimum", 1), ("exclusiveMaximum", -1)):
        if bound in key:
            assert not accepts(name, key[bound])
            assert accepts(name, math.nextafter(key[bound], inwards * math.inf))
    assert accepts(name, None) is ("null" in key["type"])


def test_seeds_of_a_config_are_those_of_a_call():
    of_all = SCHEMA["properties"]["seeds"]["anyOf"][1]["items"]
    templates = SCHEMA["properties"]["prompts"]["properties"]["templates"]["items"]["properties"]
    for seeds in (of_all, templates["seeds"]["items"]):
        assert (seeds["minimum"], seeds["maximum"]) == (0, MAX_SEED)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "value",
    [
        math.nan,
        math.inf,
        -math.inf,
        np.float32("nan"),
        "1",
        b"1",
        [1],
        {},
        1j,
        object(),
        np.ones(2),
        10**400,
        -1,
    ],
)
def test_no_other_value_is_a_setting(name, value):
    with pytest.raises(InputError, match=name) as refusal:
        GenerationSettings(**{name: value})
    assert "\n" not in str(refusal.value)
    assert "give " in str(refusal.value)


@pytest.mark.parametrize("name", ["duration", "guidance", "temperature", "top_p", "top_k", "stride"])
def test_a_switch_is_no_number(name):
    for switch in (True, np.bool_(False)):
        assert not accepts(name, switch)


def test_numbers_become_plain():
    settings = GenerationSettings(
        duration=np.float64(2),
        guidance=3,
        temperature=Fraction(1, 2),
        top_k=np.int16(7),
        use_sampling=np.False_,
    )
    assert [type(value) for value in asdict(settings).values()] == [
        *(float, float, bool, float, int, float, bool, float)
    ]
    assert GenerationSettings(top_k=250.0).top_k == 250


def test_audiocrafts_names_are_ours():
    assert own_names({"cfg_coef": 2, "two_step_cfg": True, "temp": 1, "extend_stride": 6}, 10, NAMES) == {
        "guidance": 2,
        "two_step": True,
        "temperature": 1,
        "stride": 0.6,
    }
    with pytest.raises(InputError, match="temp and temperature are both given"):
        own_names({"temp": 1, "temperature": 1}, 10, NAMES)
    with pytest.raises(
        InputError, match="extend_stride: 10 is not allowed; give a number above 0 and below 10"
    ):
        own_names({"extend_stride": 10}, 10, NAMES)


def test_texts_and_seeds_of_any_list():
    assert check_texts(np.array(["a", "b"])) == ["a", "b"]
    assert check_texts(iter(["a", None])) == ["a", None]
    assert check_texts(["", None], blank=True) == [None, None]
    assert check_sample_seeds(range(3), 3) == [0, 1, 2]
    assert [type(seed) for seed in check_sample_seeds(np.array([1.0, 2.0]), 2)] == [int, int]
