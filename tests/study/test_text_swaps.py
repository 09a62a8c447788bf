"""Which texts the clips of a template are replayed under, and why not."""

import pytest

from innerear.errors import InputError
from innerear.study.prompts import prompts_from_sheet, prompts_from_templates
from innerear.study.text_swaps import study_swaps

EMOTIONS = [{"id": "happy"}, {"id": "sad"}]


def swaps_of(*templates, emotions=EMOTIONS):
    section = {"templates": list(templates), "emotions": list(emotions), "sheet": None}
    return study_swaps(prompts_from_templates(templates, emotions), section)


def test_the_neutral_text_is_the_template_without_its_emotion():
    swaps = swaps_of({"id": "piano", "text": "a {emotion}  solo {emotion} piece"})
    assert swaps.blocks["piano"].neutral == "a solo piece"
    assert swaps.blocks["piano"].texts == ("happy", "sad", "neutral")
    assert swaps.left_out == ("paraphrase control of piano: none is given",)


def test_given_texts_are_taken():
    template = {
        "id": "t",
        "text": "{emotion} music",
        "neutral": "any music",
        "paraphrase": "music, {emotion}",
    }
    block = swaps_of(template).blocks["t"]
    assert block.neutral == "any music"
    assert block.paraphrases == {"happy": "music, happy", "sad": "music, sad"}
    assert block.texts == ("happy", "sad", "neutral", "paraphrase")
    assert [prompt.id for prompt in block.prompts] == ["t-happy", "t-sad"]


def test_a_template_of_the_emotion_alone_has_no_neutral_text():
    swaps = swaps_of({"id": "t", "text": "{emotion}", "paraphrase": "very {emotion}"})
    assert swaps.blocks["t"].texts == ("happy", "sad", "paraphrase")
    assert swaps.left_out == ("neutral text of t: none is given",)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"paraphrase": "happy music"}, r"the paraphrase 'happy music' has no \{emotion\}"),
        ({"paraphrase": "{emotion} music"}, "the paraphrase of 't-happy' .* is also prompt 't-happy'"),
        ({"neutral": "some {emotion} music"}, r"the neutral text 'some \{emotion\} music' holds \{emotion\}"),
    ],
)
def test_a_control_that_controls_for_nothing_is_refused(more, message):
    with pytest.raises(InputError, match=message):
        swaps_of({"id": "t", "text": "{emotion} music"} | more)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (
            {"text": "{emotion}", "neutral": " sad\n"},
            "the neutral text of template 't', 'sad', is also prompt 't-sad'",
        ),
        ({"paraphrase": "{emotion}  music"}, "'happy music', is also prompt 't-happy'"),
        ({"neutral": "\u200b"}, "neutral: .* is an empty text"),
        ({"neutral": "some {mood} music"}, r"neutral: \{mood\} is no placeholder"),
        ({"paraphrase": "{emotion} {kind} music"}, r"paraphrase: \{kind\} is no placeholder"),
        ({"paraphrase": "{emotion}" + "x" * 3000}, "paraphrase: a text of 3,009 characters"),
    ],
)
def test_a_text_of_a_template_is_read_under_one_name(more, message):
    with pytest.raises(InputError, match=message):
        swaps_of({"id": "t", "text": "{emotion} music"} | more)


def test_a_template_of_a_sheet_has_one_neutral_text(tmp_path):
    rows = ("a\thappy tune\thappy\tt\ttune\t", "b\tsad tune\tsad\tt\tmusic\t")
    with pytest.raises(
        InputError, match="row 3: the neutral text 'music' of template 't' is 'tune' in a row above"
    ):
        sheet(tmp_path, *rows)


@pytest.mark.parametrize(
    ("emotions", "reason"),
    [
        ([{"id": "happy"}], "only one emotion"),
        ([{"id": "neutral"}, {"id": "sad"}], "'neutral' is also the name of a control"),
    ],
)
def test_emotions_that_cannot_be_swapped_are_a_reason_and_no_error(emotions, reason):
    swaps = swaps_of({"id": "t", "text": "{emotion} music"}, emotions=emotions)
    assert not swaps.blocks
    assert reason in swaps.left_out[0]


def sheet(tmp_path, *rows, columns="id\ttext\temotion\ttemplate\tneutral\tparaphrase"):
    path = tmp_path / "prompts.tsv"
    path.write_text("\n".join([columns, *rows]))
    return study_swaps(prompts_from_sheet(path), {"sheet": str(path), "templates": [], "emotions": []})


def test_a_sheet_may_say_neutral_and_paraphrase(tmp_path):
    swaps = sheet(
        tmp_path,
        "a\thappy tune\thappy\tt\ttune\ta tune, happy",
        "b\tsad tune\tsad\tt\t\ta tune, sad",
        "c\thappy song\thappy\tu\t\ta song, happy",
        "d\tsad song\tsad\tu\t\t",
    )
    assert swaps.blocks["t"].neutral == "tune"
    assert swaps.blocks["t"].paraphrases == {"happy": "a tune, happy", "sad": "a tune, sad"}
    # A paraphrase of some prompts would compare emotions, not wordings.
    assert swaps.blocks["u"].texts == ("happy", "sad")
    assert swaps.left_out == ("neutral text of u: none is given", "paraphrase control of u: none is given")


def test_templates_of_a_sheet_without_each_emotion_once_are_left_out(tmp_path):
    swaps = sheet(
        tmp_path,
        "a\thappy tune\thappy\tt",
        "b\tsad tune\tsad\tt",
        "c\tsad melody\tsad\tt",
        "d\thappy song\thappy\tu",
        "f\thappy piece\thappy\tmy template",
        "g\tsad piece\tsad\tmy template",
        columns="id\ttext\temotion\ttemplate",
    )
    assert not swaps.blocks
    reasons = dict(reason.split(": ") for reason in swaps.left_out)
    assert reasons == {
        "template t": "it does not hold each emotion once",
        "template u": "it does not hold each emotion once",
        "template my template": "its id cannot name a folder",
    }
