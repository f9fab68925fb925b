"""What is compared is an entrant: a model, asked in a way; its name says which."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from refvessel.errors import UserError
from refvessel.settings.checked import checked_config
from refvessel.settings.model_kinds import kinds_of
from refvessel.settings.model_section import Model
from refvessel.settings.whole import Settings
from refvessel.settings.words_section import Words

ROOT = Path(__file__).resolve().parents[1]
DEMO = yaml.safe_load((ROOT / "config.yaml").read_text())
OFFICIAL = "<image>\n Please segment {phrase} in this image."

KEYS = st.text(alphabet="abB-_1", min_size=1, max_size=6)
ASKED = st.fixed_dictionaries(
    {"model": KEYS, "split": st.sampled_from(["test", "train"])},
    optional={
        "questions": st.dictionaries(
            KEYS, st.sampled_from([f"{n} <image> {{phrase}}" for n in (1, 2)]), max_size=3
        ),
        "as": st.just("video"),
        "choose": st.just("val"),
    },
)


def config(*evaluations, **sections):
    names = {each["model"] for each in evaluations}
    return {
        "models": dict.fromkeys(names, DEMO["models"]["demo"]) | sections.pop("models", {}),
        "datasets": {"demo": DEMO["datasets"]["demo"] | {"sequences": "folder"}},
        "evaluations": [{"dataset": "demo", "split": "test"} | each for each in evaluations],
        **sections,
    }


def names(*evaluations, **sections):
    settings = checked_config(config(*evaluations, **sections))
    return [each.entrant.name for each in settings.entries()]


def test_a_model_without_questions_goes_by_its_own_name():
    settings = checked_config(config({"model": "m"}))
    (entry,) = settings.entries()
    assert entry.places == {"model": "m", "dataset": "demo", "split": "test"}
    assert (entry.entrant.model, entry.entrant.question, entry.entrant.kind) == ("m", OFFICIAL, "image")
    assert settings.asked_together() == []


def test_each_question_is_an_entrant_and_one_job_asks_them_all():
    asked = {"model": "m", "questions": {"where": "<image> where is {phrase}?", "short": "<image> {phrase}"}}
    settings = checked_config(config(asked))
    assert settings.entrants_on("demo", "test") == ["m-short", "m-where"]
    assert settings.compared_splits() == [("demo", "test")]
    (together,) = settings.asked_together()
    assert [each.places["model"] for each in together] == ["m-short", "m-where"]
    assert [each.entrant.question for each in together] == ["<image> {phrase}", "<image> where is {phrase}?"]
    assert settings.evaluated("model") == ["m"]


def test_a_chosen_question_is_one_entrant_and_its_candidates_are_asked_on_val():
    questions = {"a": "<image> {phrase}", "b": "{phrase} <image>"}
    settings = checked_config(config({"model": "m", "questions": questions, "choose": "val"}))
    (entry,) = settings.entries()
    assert (entry.entrant.name, entry.entrant.question) == ("m-chosen", None)
    assert [each.name for each in entry.entrant.candidates] == ["m-a", "m-b"]
    assert sorted(settings.entrants()) == ["m-a", "m-b", "m-chosen"]
    assert [[each.split for each in some] for some in settings.asked_together()] == [["val", "val"]]


def test_a_tuned_threshold_has_all_questions_asked_on_val_too():
    asked = {"model": "m", "questions": {"a": "<image> {phrase}", "b": "{phrase} <image>"}}
    tuned = {"refinement": {"threshold": "dice"}, "inference": {"save_logits": True}}
    settings = checked_config(config(asked, **tuned))
    assert [some[0].split for some in settings.asked_together()] == ["test", "val"]


def test_a_model_asked_alone_and_in_questions_is_asked_in_one_job():
    settings = checked_config(config({"model": "m"}, {"model": "m", "questions": {"a": "<image> {phrase}"}}))
    (together,) = settings.asked_together()
    assert [each.entrant.name for each in together] == ["m", "m-a"]


def test_checkpoints_of_one_base_are_asked_in_one_job_where_that_is_wanted():
    other = DEMO["models"]["demo"] | {"checkpoint": "iter_2.pth"}
    elsewhere = other | {"base_mllm": "elsewhere"}
    asked = [{"model": name} for name in ("m", "other", "elsewhere")]
    models = {"other": other, "elsewhere": elsewhere}
    asked += [{"model": name, "split": "val"} for name in ("m", "other")]
    assert checked_config(config(*asked, models=models)).asked_together() == []
    settings = checked_config(config(*asked, models=models, inference={"together": True}))
    assert [[(each.entrant.name, each.split) for each in some] for some in settings.asked_together()] == [
        [("m", "test"), ("other", "test")],
        [("m", "val"), ("other", "val")],
    ]


def test_finished_folders_are_of_one_kind_where_their_configurations_are_the_same(tmp_path):
    for name, content in (("a", "1"), ("b", "1"), ("c", "2")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(content)
    models = {name: Model(folder=tmp_path / name) for name in "abcd"}
    models["masks"] = Model(predictions=tmp_path, format="masks")
    kinds = kinds_of(models)
    assert sorted(kinds) == ["a", "b", "c", "d"]  # of which d is not there
    assert kinds["a"] == kinds["b"]
    assert len(set(kinds.values())) == 3


def test_words_that_are_asked_besides_are_asked_in_the_same_job():
    (entry,) = checked_config(config({"model": "m", "words": True})).entries()
    assert entry.words == Words()
    settings = checked_config(
        config({"model": "m", "words": {"absent": ["bone"]}}, {"model": "m", "split": "val"})
    )
    ((asked,),) = settings.asked_together()
    assert (asked.split, asked.words.absent) == ("test", ("bone",))
    assert checked_config(config({"model": "m", "words": False})).asked_together() == []


def test_video_stands_in_the_name_and_is_no_matter_of_questions_about_images():
    assert names({"model": "m"}, {"model": "m", "as": "video"}) == ["m", "m-video"]
    asked = {"model": "m", "as": "video", "questions": {"a": "<image> {phrase}", "b": "{phrase} <image>"}}
    assert names(asked) == ["m-a-video", "m-b-video"]
    assert names(asked | {"choose": "val"}) == ["m-chosen-video"]
    assert checked_config(config(asked)).asked_together() == []


@pytest.mark.parametrize(
    ("evaluations", "sentence"),
    [
        (
            [{"model": "m", "questions": {"x": "<image> {phrase}"}}, {"model": "m-x", "split": "train"}],
            "evaluations.0 asks the model 'm' in a way that would be called 'm-x', as another of the models is",
        ),
        (
            [
                {"model": "a", "questions": {"b-c": "<image> {phrase}"}},
                {"model": "a-b", "questions": {"c": "{phrase}<image>"}},
            ],
            "evaluations.0 and evaluations.1 ask in two ways that would both be called 'a-b-c' "
            "('a' asks '<image> {phrase}', by image; 'a-b' asks '{phrase}<image>', by image)",
        ),
        (
            [{"model": "m", "as": "video"}, {"model": "m", "questions": {"video": "<image> {phrase}"}}],
            "both be called 'm-video'",
        ),
        (
            [
                {"model": "m", "questions": {"x": "<image> {phrase}"}},
                {"model": "m", "questions": {"x": "{phrase} <image>"}, "split": "train"},
            ],
            "both be called 'm-x'",
        ),
        (
            [
                {
                    "model": "m",
                    "choose": "val",
                    "questions": {"chosen": "<image> {phrase}", "x": "{phrase} <image>"},
                },
            ],
            "both be called 'm-chosen'",
        ),
        (
            [{"model": "m"}, {"model": "m", "questions": {}, "as": None}],
            "is named twice",
        ),
        (
            [
                {"model": "m", "questions": {"x": "<image> {phrase}"}},
                {"model": "m", "questions": {"x": "<image> {phrase}", "y": "{phrase} <image>"}},
            ],
            "evaluations name 'm-x' on the split 'test' of 'demo' twice",
        ),
        (
            [{"model": "m", "questions": {"x": "segment {phrase}"}}],
            "evaluations.0.questions.x: 'segment {phrase}' must",
        ),
        ([{"model": "m", "questions": {"a.b": "<image> {phrase}"}}], "'a.b' does not match"),
        ([{"model": "m", "choose": "val"}], "evaluations.0.choose is 'val', and there are no two questions"),
        (
            [
                {
                    "model": "m",
                    "split": "val",
                    "choose": "val",
                    "questions": {"x": "<image> {phrase}", "y": "{phrase} <image>"},
                }
            ],
            "evaluations.0.split is 'val', on which the question is chosen",
        ),
        ([{"model": "m", "as": "film"}], "evaluations.0.as: 'film' is not one of video"),
        ([{"model": "m", "ask": "x"}], "known are model, dataset, split, as, questions, choose, words"),
    ],
)
def test_what_would_be_mistaken_for_another_is_refused(evaluations, sentence):
    with pytest.raises(UserError) as refused:
        checked_config(config(*evaluations))
    assert sentence in str(refused.value)


@given(st.lists(ASKED, min_size=1, max_size=4))
def test_a_name_is_of_one_entrant_and_of_no_other_model(evaluations):
    """Whatever is configured is refused, or every name says which model is asked what."""
    try:
        settings = checked_config(config(*evaluations))
    except UserError:
        return
    entries = settings.entries()
    places = [tuple(each.places.values()) for each in entries]
    assert len(set(places)) == len(places)
    for entrant in settings.entrants().values():
        assert entrant.name == entrant.model or entrant.name not in settings.models
        assert entrant.name.startswith(entrant.model)
    asked = [1 if "choose" in each else len(each.get("questions", {})) or 1 for each in evaluations]
    assert len(entries) == sum(asked)
    assert Settings.model_validate(settings.canonical()) == settings


def two_data_sets(model: dict, *evaluations: dict) -> dict:
    """One model, `m`, and the data sets `demo` and `other`."""
    described = config({"model": "m"}, models={"m": DEMO["models"]["demo"] | model})
    described["datasets"]["other"] = described["datasets"]["demo"]
    return described | {"evaluations": [{"model": "m", "split": "test"} | each for each in evaluations]}


def test_trainings_that_are_asked_in_the_same_way_share_a_group():
    questions = {"a": OFFICIAL, "b": f"Now {OFFICIAL}"}
    asked = [{"model": name, "questions": questions} for name in ("first", "second", "alone")]
    trained = {name: DEMO["models"]["demo"] | {"group": "method"} for name in ("first", "second")}
    settings = checked_config(config(*asked, models=trained))
    groups = {f"{name}-{way}": f"method-{way}" for name in trained for way in questions}
    assert settings.groups_on("demo", "test") == groups
    # What a conversion depends on does not know of it.
    assert settings.models["first"].result_settings() == settings.models["alone"].result_settings()


def test_a_model_at_home_elsewhere_too_is_away_from_home():
    at_home, away = {"dataset": "demo"}, {"dataset": "other"}
    assert not checked_config(two_data_sets({"home": "demo"}, at_home)).away_from_home()
    assert not checked_config(two_data_sets({}, at_home, away)).away_from_home()
    settings = checked_config(two_data_sets({"home": "demo"}, at_home, away))
    assert settings.away_from_home()
    assert settings.homes() == {"m": "demo"}


def test_a_home_that_is_unknown_or_not_evaluated_is_refused():
    with pytest.raises(UserError, match=r"models.m.home is 'nowhere', which datasets does not describe"):
        checked_config(two_data_sets({"home": "nowhere"}, {"dataset": "demo"}))
    with pytest.raises(UserError, match=r"models.m.home is 'other', on which it is not scored"):
        checked_config(two_data_sets({"home": "other"}, {"dataset": "demo"}))
