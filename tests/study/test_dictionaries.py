"""Finished dictionaries are refused where they are of something else, before any job."""

import json
import shutil

import pytest

from innerear.errors import InputError
from innerear.study.dictionaries import files_of, folder_of, given_dictionaries, prompts_seen

WANTED = {"d_in": 96, "site": "residual"}


def dictionary(root, of="uncond", layer=3, seed=0, **says):
    """A folder as a study writes it, but for its weights."""
    folder = root / of / f"layer_{layer:02d}" / f"seed-{seed}"
    folder.mkdir(parents=True)
    metadata = {"layer": layer, "branch": of, "site": "residual", "training_prompts": ["song-calm"]} | says
    (folder / "cfg.json").write_text(json.dumps({"d_in": 96, "metadata": metadata}))
    return folder


@pytest.fixture
def given(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for of in ("uncond", "delta"):
        for layer in (0, 3):
            dictionary(tmp_path / "mine", of, layer)
    return tmp_path / "mine"


def seen(folder="./mine", layers=(0, 3)):
    return prompts_seen(folder, given_dictionaries(folder), layers, WANTED)


def test_those_that_fit_say_what_they_were_trained_on(given):
    assert seen() == ["song-calm"]
    (given / "uncond/layer_03/seed-0/cfg.json").write_text("{}")  # a published one
    assert seen(layers=[3]) == ["song-calm"]
    (given / "delta/layer_03/seed-0/cfg.json").write_text('{"metadata": {"training_prompts": null}}')
    assert seen(layers=[3]) == []


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"d_in": 64}, "d_in is 64, not 96"),
        ({"d_in": "96"}, "d_in is '96', not 96"),
        ({"metadata": {"layer": 0}}, "layer is 0, not 3"),
        ({"metadata": {"site": "mlp"}}, "site is 'mlp', not 'residual'"),
        ({"metadata": {"branch": "uncond"}}, "branch is 'uncond', not 'delta'"),
        ({"metadata": {"training_prompts": 5}}, "training_prompts are 5"),
        ({"metadata": {"training_prompts": "piano"}}, "training_prompts are 'piano'"),
        ({"metadata": {"training_prompts": [["piano"]]}}, r"training_prompts are \[\['piano'\]\]"),
        ({"metadata": [1]}, r"metadata are \[1\]"),
        ([], r"holds no settings, but \[\]"),
    ],
)
def test_what_is_of_something_else_is_named(given, settings, message):
    path = given / "delta/layer_03/seed-0/cfg.json"
    path.write_text(json.dumps(settings))
    with pytest.raises(InputError, match=rf"mine/delta/layer_03/seed-0/cfg\.json:? {message}.*name other"):
        seen()
    assert seen(layers=[0]) == ["song-calm"]


@pytest.mark.parametrize("text", [b"[" * 100_000, b'{"a":' * 100_000, b'{"a": "\xff"}', b"{", b""])
def test_broken_settings_are_named(given, text):
    (given / "uncond/layer_00/seed-0/cfg.json").write_bytes(text)
    with pytest.raises(InputError, match=r"mine/uncond/layer_00/seed-0/cfg\.json cannot be read .*; fetch"):
        seen()


def test_a_study_remakes_what_is_broken(given, tmp_path):
    shutil.copytree(given, tmp_path / "results/corpus/features/dictionaries")
    (tmp_path / "results/corpus/features/dictionaries/delta/layer_03/seed-0/cfg.json").unlink()
    command = "--force results/corpus/features/dictionaries/delta/layer_03"
    with pytest.raises(InputError, match=f"seed-0 has no cfg.json and is .*; remake it with: .*{command}$"):
        seen("results/corpus")


def test_a_study_of_a_near_name_is_named(given, tmp_path):
    shutil.copytree(given, tmp_path / "results/corpus/features/dictionaries")
    with pytest.raises(InputError, match=r"results/corpsu has no .* \(did you mean 'results/corpus'\?\)"):
        given_dictionaries("results/corpsu")


@pytest.mark.parametrize("lacking", ["delta/layer_00", "delta/layer_03", "uncond/layer_03"])
def test_a_layer_without_dictionaries_is_named(given, lacking):
    shutil.rmtree(given / lacking)
    with pytest.raises(InputError, match=rf"\./mine has no {lacking}/seed-\*"):
        seen()


@pytest.mark.parametrize("named", ["results/base", "./results/base/", "results/base/features/dictionaries"])
def test_a_study_does_not_take_its_own(given, tmp_path, named):
    own = tmp_path / "results/base/features/dictionaries"
    with pytest.raises(InputError, match="is the study's own"):
        given_dictionaries("results/base", "base")
    dictionary(own)
    for name in (named, tmp_path / named, tmp_path / "results/other/../base"):
        (tmp_path / "results/other").mkdir(exist_ok=True)
        with pytest.raises(InputError, match=r"features\.dictionaries: .* is the study's own"):
            given_dictionaries(str(name), "base")
    assert given_dictionaries(named, "another") == ["uncond"]


@pytest.mark.parametrize("linked", ["", "uncond", "uncond/layer_03", "uncond/layer_03/seed-0"])
def test_a_link_to_its_own_is_its_own(tmp_path, monkeypatch, linked):
    monkeypatch.chdir(tmp_path)
    own = tmp_path / "results/base/features/dictionaries"
    dictionary(own)
    link = tmp_path / "links" / linked
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(own / linked)
    with pytest.raises(InputError, match="is the study's own"):
        given_dictionaries("./links", "base")
    assert given_dictionaries("./links", "another") == ["uncond"]


@pytest.mark.parametrize("named", ["m" * 5000, "./" + "m/" * 3000, "circle", "./circle"])
def test_a_folder_that_cannot_be_is_named(given, tmp_path, named):
    (tmp_path / "results").mkdir()
    (tmp_path / "results/circle").symlink_to("circle")
    (tmp_path / "circle").symlink_to("circle")
    with pytest.raises(InputError, match=r"features\.dictionaries: .* has no dictionaries of uncond"):
        given_dictionaries(folder_of(named), "mine")


@pytest.mark.parametrize("named", ["mine\0", "mi{n}e", "mi\nne"])
def test_a_folder_that_snakemake_cannot_take_is_refused(given, named):
    with pytest.raises(InputError, match=r"features\.dictionaries: .* rename the file or folder"):
        given_dictionaries(named)


def test_the_files_of_a_layer_are_those_of_all_its_seeds(given):
    dictionary(given, seed=10)
    dictionary(given, seed=2)
    files = files_of("./mine", ["uncond", "delta"], 3)
    assert files[:2] == [
        "mine/uncond/layer_03/seed-0/cfg.json",
        "mine/uncond/layer_03/seed-0/sae_weights.safetensors",
    ]
    seeds = [path.split("/")[-2] for path in files[::2]]
    assert seeds == ["seed-0", "seed-2", "seed-10", "seed-0"]
