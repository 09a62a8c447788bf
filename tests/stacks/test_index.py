import json

import numpy as np
import pandas as pd
import pytest

from innerear.errors import InputError
from innerear.stacks import GramFile, StackWriter, open_layers
from innerear.stacks.index import sample_table, stacks_hash
from innerear.timeline import Timeline


def write_stack(path, prompt, model="nano", weights="sha256:1", value=0.0, **more):
    timeline = Timeline(n_frames=5, n_codebooks=4, frame_rate=50.0)
    attrs = {"sample_id": f"{prompt}/seed-0", "prompt_id": prompt, "seed": 0}
    attrs |= {"model": model, "model_identity": weights, "audio_sha256": "0" * 64} | more
    with StackWriter(path, attrs, np.zeros((4, 5), int), timeline) as stack:
        stack.write("residual", 0, np.full((2, 8, 3), value, np.float32))
    clip = path.parent / prompt / "seed-0.wav"
    clip.parent.mkdir(exist_ok=True, parents=True)
    clip.touch()
    return path


def test_samples_are_listed_in_the_order_given_with_what_their_stacks_say(tmp_path):
    stacks = [write_stack(tmp_path / f"{prompt}.h5", prompt) for prompt in ("b", "a")]
    table = sample_table(stacks, tmp_path)
    assert table["sample_id"].tolist() == ["b/seed-0", "a/seed-0"]
    assert table["audio"].tolist() == [str(tmp_path / f"{prompt}/seed-0.wav") for prompt in "ba"]
    assert table["n_steps"].tolist() == [8, 8]
    assert table["valence"].isna().all()


def test_a_label_that_the_stacks_do_not_hold_is_added_by_prompt(tmp_path):
    stacks = [write_stack(tmp_path / f"{prompt}.h5", prompt) for prompt in ("b", "a")]
    labels = {"family": {"a": "bright", "b": "dark"}}
    assert sample_table(stacks, tmp_path, labels)["family"].tolist() == ["dark", "bright"]


def test_a_stack_without_its_clip_is_refused(tmp_path):
    stack = write_stack(tmp_path / "a.h5", "a")
    (tmp_path / "a/seed-0.wav").unlink()
    with pytest.raises(InputError, match=r"a\.h5 has no clip .*a/seed-0\.wav; remake it with"):
        sample_table([stack], tmp_path)


def test_the_content_hash_follows_the_activations(tmp_path):
    hashes = [
        sample_table([write_stack(tmp_path / "a.h5", "a", value=value)], tmp_path)["content_sha256"][0]
        for value in (0.0, 1.0)
    ]
    assert hashes[0] != hashes[1]


def test_stacks_of_two_models_are_refused(tmp_path):
    stacks = [write_stack(tmp_path / f"{model}.h5", "a", model=model) for model in ("nano", "small")]
    with pytest.raises(InputError, match=r"one study is one model, but .*nano .* and .*small"):
        sample_table(stacks, tmp_path)


def test_stacks_of_one_model_with_two_weights_are_refused(tmp_path):
    stacks = [write_stack(tmp_path / f"{n}.h5", "a", weights=f"sha256:{n}") for n in (1, 2)]
    with pytest.raises(InputError, match=r"nano \(sha256:1\) and .*nano \(sha256:2\)"):
        sample_table(stacks, tmp_path)


SETTINGS = {"study": "s", "seed": 0, "generation": {"temperature": 1.0, "top_k": 250}}


def test_a_stack_of_other_settings_is_refused_with_what_differs(tmp_path):
    other = SETTINGS | {"generation": {"temperature": 0.3, "top_k": 250}}
    wanted = {"a/seed-0": json.dumps(SETTINGS), "b/seed-0": json.dumps(SETTINGS)}
    for prompt, made in (("a", SETTINGS), ("b", other)):
        (tmp_path / prompt).mkdir()
        write_stack(tmp_path / prompt / "seed-0.h5", prompt, settings=json.dumps(made))
        (tmp_path / prompt / "seed-0.wav").touch()
    paths = [tmp_path / prompt / "seed-0.h5" for prompt in "ab"]
    assert len(sample_table(paths[:1], tmp_path, settings=wanted)) == 1
    with pytest.raises(
        InputError, match=r"b/seed-0\.h5 .*study's: generation\.temperature is 0\.3, not 1\.0; "
    ):
        sample_table(paths, tmp_path, settings=wanted)
    with pytest.raises(InputError, match=r"holds the sample 'a/seed-0'"):
        sample_table(paths[:1], tmp_path, settings={})


def test_one_sample_twice_is_refused(tmp_path):
    stacks = [write_stack(tmp_path / f"{name}.h5", "a") for name in ("one", "two")]
    with pytest.raises(InputError, match=r"two\.h5 is a second stack of one sample"):
        sample_table(stacks, tmp_path)


def test_files_know_the_stacks_that_they_were_made_of(tmp_path):
    samples = pd.DataFrame({"sample_id": ["a/seed-0", "b/seed-0"], "content_sha256": ["1", "2"]})
    arrays = {"x": (("i",), np.zeros(2))}
    attrs = {"layer": 3, "stacks_sha256": stacks_hash(samples)}
    path = tmp_path / "layer_03.h5"
    GramFile.write(path, arrays, {"i": range(2)}, attrs)
    with open_layers([path], samples) as layers:
        assert list(layers) == [3]
    for others in (samples[::-1], samples[:1], samples.assign(content_sha256=["1", "3"])):
        with (
            pytest.raises(InputError, match=r"layer_03\.h5 was made of other stacks"),
            open_layers([path], others),
        ):
            pass
    folder = tmp_path / "03-05"
    for layer in (3, 5):
        GramFile.write(folder / f"layer_{layer:02d}.h5", arrays, {"i": range(2)}, attrs | {"layer": layer})
    with open_layers([folder], samples) as layers:
        assert list(layers) == [3, 5]
    (folder / "layer_05.h5").unlink()
    with (
        pytest.raises(InputError, match=r"layer_05\.h5 does not exist; remake it with: .*--force .*/03-05$"),
        open_layers([folder], samples),
    ):
        pass
    GramFile.write(
        tmp_path / "layer_04.h5", arrays, {"i": range(2)}, attrs | {"layer": 4, "stacks_sha256": "x"}
    )
    with (
        pytest.raises(InputError, match=r"layer_04\.h5 was made of other stacks than .*layer_03"),
        open_layers([path, tmp_path / "layer_04.h5"]),
    ):
        pass
