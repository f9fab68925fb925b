"""Several checkpoints in one job: each shard is as its model writes it alone; what is equal is computed once."""

import json
import shutil
import sys
from copy import deepcopy
from unittest import mock

import pytest
import torch
from full_size import write_official_folder
from qwen_folder import write_qwen_folder
from real_job import SMALL
from safetensors.torch import load_file, save_file

from refvessel.cli import main
from refvessel.errors import UserError
from refvessel.inference import completing, run
from refvessel.inference.run import segment_series
from refvessel.inference.sheets import Wanted
from refvessel.model.hiera import ImageEncoder
from refvessel.model.internvl import TileEncoder
from refvessel.model.modeling import Sa2VAModel
from refvessel.model.qwen_vision import PatchEncoder
from refvessel.model.sharing import share_equal, shared_towers
from refvessel.predictions.logits_file import logits_file, read_logits
from refvessel.settings.inference_section import Inference

SETTINGS = Inference.model_validate({"batch_size": 1, "save_logits": True})
LANGUAGE = "language_model.model.layers.0.mlp.down_proj.weight"
# Made-up checkpoints of one run: what each of them trained further.
TRAINED = {
    "first": (),
    "projector": ("mlp1.1.weight",),
    "language": (LANGUAGE,),
    "decoder": ("grounding_encoder.sam2_model.sam_mask_decoder.conv_s0.weight",),
    "towers": (
        "vision_model.embeddings.class_embedding",
        "grounding_encoder.sam2_model.image_encoder.trunk.pos_embed",
    ),
}


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    """Name -> folder."""
    parent = tmp_path_factory.mktemp("checkpoints")
    first = parent / "first"
    first.mkdir()
    write_official_folder(first, SMALL, "cpu", files=1)
    others = {name: checkpoint(first, parent / name, TRAINED[name]) for name in [*TRAINED][1:]}
    return {"first": first} | others


@pytest.fixture(scope="module", autouse=True)
def read_once():
    """Folders are checked nowhere and read once: building modules is most of what such a small job takes."""
    load, known = Sa2VAModel.load, {}

    def loaded(folder, **options):
        if folder not in known:
            known[folder] = load(folder, **options)
        return deepcopy(known[folder])

    with (
        mock.patch.object(Sa2VAModel, "load", loaded),
        mock.patch.object(run, "read_official_folder"),
    ):
        yield


def checkpoint(model, folder, trained, change=lambda tensor: tensor * 1.5 + 0.01):
    """A copy of a model in which some tensors are others."""
    shutil.copytree(model, folder)
    for path in folder.glob("*.safetensors"):
        tensors = load_file(path)
        save_file(
            {name: change(each) if name in trained else each for name, each in tensors.items()},
            path,
            {"format": "pt"},
        )
    return folder


def segment(models, tree, folder, **options):
    """Segment by these models, by name, each into the shard of its name."""
    wanted = {model: [Wanted(SETTINGS.question, folder / f"{name}.jsonl")] for name, model in models.items()}
    settings = options.pop("settings", SETTINGS)
    options = {"shard": "1/2"} | options
    segment_series(models=wanted, dataset=tree, split="test", settings=settings, **options)
    return folder


def content(shard):
    """Records without their times, and logits, bit by bit."""
    records = [json.loads(line) | {"seconds": 0} for line in shard.read_text().splitlines()]
    return records, [(key, each.tobytes()) for key, each in read_logits(logits_file(shard))]


def held(models):
    """Bytes of distinct tensors."""
    tensors = [each for model in models for each in model.state_dict(keep_vars=True).values()]
    return sum({id(each): each.nbytes for each in tensors}.values())


@pytest.fixture(scope="module")
def apart(checkpoints, tree, tmp_path_factory):
    """Folder of the shards that each model wrote alone."""
    folder = tmp_path_factory.mktemp("apart")
    for name, model in checkpoints.items():
        segment({name: model}, tree, folder)
    return folder


@pytest.fixture(scope="module")
def alone(apart):
    """Their content."""
    return {name: content(apart / f"{name}.jsonl") for name in TRAINED}


@pytest.fixture
def looks(monkeypatch):
    """How many images each kind of tower looked at."""
    seen = {"InternViT": 0, "SAM2": 0}
    tiles, wholes = TileEncoder.look, ImageEncoder.look

    def look_at_tiles(encoder, views):
        seen["InternViT"] += len(views)
        return tiles(encoder, views)

    def look_at_wholes(encoder, images):
        seen["SAM2"] += len(images)
        return wholes(encoder, images)

    monkeypatch.setattr(TileEncoder, "look", look_at_tiles)
    monkeypatch.setattr(ImageEncoder, "look", look_at_wholes)
    return seen


def test_each_shard_is_bit_by_bit_what_its_model_writes_alone(
    alone, checkpoints, tree, tmp_path, looks, capfd
):
    segment(checkpoints, tree, tmp_path)
    assert {name: content(tmp_path / f"{name}.jsonl") for name in checkpoints} == alone
    assert looks == {"InternViT": 2 * 2, "SAM2": 2 * 2}  # two images, by the towers of two kinds
    assert "5 models at once: " in capfd.readouterr().err


def test_a_qwen_shares_its_tower_too(tree, tmp_path, monkeypatch):
    (tmp_path / "first").mkdir()
    first = write_qwen_folder(tmp_path / "first", "qwen3_vl")
    other = checkpoint(first, tmp_path / "other", ("model.model.language_model.layers.0.mlp.up_proj.weight",))
    look = mock.Mock(side_effect=PatchEncoder.look)
    monkeypatch.setattr(PatchEncoder, "look", lambda *arguments: look(*arguments))
    together = segment({"first": first, "other": other}, tree, tmp_path / "together", shard="1/3")
    alone = segment({"other": other}, tree, tmp_path / "alone", shard="1/3")
    found = content(together / "other.jsonl")
    assert found == content(alone / "other.jsonl")
    assert found != content(together / "first.jsonl")
    assert look.call_count == 2  # at the one image: by both, by one


def test_each_change_of_a_checkpoint_changes_its_answers(alone):
    assert len({json.dumps(records) for records, _ in alone.values()}) == len(TRAINED)


def test_equal_tensors_are_in_memory_once(checkpoints):
    models = [Sa2VAModel.load(folder, dtype=torch.float32) for folder in checkpoints.values()]
    apart = sum(held([model]) for model in models)
    saved = [share_equal(model, models[:number]) for number, model in enumerate(models)]
    assert saved[0] == 0
    assert sum(saved) == apart - held(models)
    first, projector, language, decoder, towers = models
    assert projector.vision.tower is language.vision.tower is decoder.vision.tower is first.vision.tower
    assert projector.multi_modal_projector.linear_1.weight is not first.multi_modal_projector.linear_1.weight
    assert language.get_input_embeddings().weight is first.get_input_embeddings().weight
    assert towers.image_encoder.trunk is not first.image_encoder.trunk
    assert shared_towers(models) == {first.vision.tower: 4, first.image_encoder.trunk: 4}


def test_a_zero_and_its_negative_are_not_equal(checkpoints):
    models = [Sa2VAModel.load(checkpoints["first"], dtype=torch.float32) for _ in range(2)]
    for model, zero in zip(models, (0.0, -0.0), strict=True):
        model.multi_modal_projector.linear_1.weight.data.fill_(zero)
        model.multi_modal_projector.linear_2.weight.data.fill_(float("nan"))
    share_equal(models[1], models[:1])
    one, other = (model.multi_modal_projector for model in models)
    assert other.linear_1.weight is not one.linear_1.weight
    assert other.linear_2.weight is one.linear_2.weight


def test_a_model_that_fails_fails_alone(alone, checkpoints, tree, tmp_path):
    decoder = TRAINED["decoder"]
    broken = checkpoint(
        checkpoints["first"], tmp_path / "broken", decoder, lambda tensor: tensor * float("inf")
    )
    models = {"first": checkpoints["first"], "broken": broken, "language": checkpoints["language"]}
    with pytest.raises(
        UserError, match=r"broken\.tree\.test\.\S+: 4 expressions failed, more than the 0 allowed"
    ) as error:
        segment(models, tree, tmp_path, answers=tmp_path / "answers")
    assert "language" not in str(error.value)
    assert not (tmp_path / "broken.jsonl").exists()  # as if it were alone
    for name in ("first", "language"):
        assert content(tmp_path / f"{name}.jsonl") == alone[name]
        progress = json.loads(next((tmp_path / "answers").rglob(f"{name}.*.progress.json")).read_text())
        assert progress["state"] == "finished"


def test_each_shard_is_resumed_by_itself(apart, alone, checkpoints, tree, tmp_path, looks, monkeypatch):
    names = ("first", "language", "decoder")
    models = {name: checkpoints[name] for name in names}
    shutil.copytree(apart, tmp_path, dirs_exist_ok=True)
    for name, lines in (("language", 0), ("decoder", 2)):
        shard = tmp_path / f"{name}.jsonl"
        shard.write_text("".join(shard.read_text().splitlines(keepends=True)[:lines]))
    segment(models, tree, tmp_path)
    assert looks["SAM2"] == 2
    for name in names:
        assert content(tmp_path / f"{name}.jsonl")[0] == alone[name][0]
    monkeypatch.setattr(completing, "device_at_work", None)  # nothing is left to be loaded for
    segment(models, tree, tmp_path)


def test_models_that_find_no_room_together_come_after_the_others(
    alone, checkpoints, tree, tmp_path, monkeypatch, capfd
):
    room = mock.Mock(side_effect=[False])  # beside the first; the other is the last
    monkeypatch.setattr("refvessel.inference.loaded_model.has_room_for_another", room)
    models = {name: checkpoints[name] for name in ("first", "language")}
    segment(models, tree, tmp_path)
    assert {name: content(tmp_path / f"{name}.jsonl") for name in models} == {
        name: alone[name] for name in models
    }
    assert "models at once" not in capfd.readouterr().err


def test_models_of_other_sizes_are_refused(checkpoints, tree, tmp_path):
    other = checkpoint(checkpoints["first"], tmp_path / "other", ())
    config = json.loads((other / "config.json").read_text())
    config["max_dynamic_patch"] = 6
    (other / "config.json").write_text(json.dumps(config))
    with pytest.raises(
        UserError, match=r"other and \S+first are of different families or sizes \(max_dynamic_patch of"
    ):
        segment({"first": checkpoints["first"], "other": other}, tree, tmp_path)


def test_models_that_are_spread_are_not_taken_together(checkpoints, tree, tmp_path):
    models = {name: checkpoints[name] for name in ("first", "language")}
    with pytest.raises(UserError, match="several models at once need each whole on one GPU"):
        segment(models, tree, tmp_path, settings=SETTINGS.model_copy(update={"device_map": "auto"}))


def test_the_command_takes_one_output_for_each_model(checkpoints, tree, tmp_path, monkeypatch, capsys):
    arguments = ["refvessel", "segment", "--dataset", str(tree), "--split", "test"]
    arguments += [option for name in ("first", "language") for option in ("--model", str(checkpoints[name]))]
    arguments += ["--output", str(tmp_path / "shard.jsonl")]
    for more, sentence in (
        ([], "2 --model and 1 --output are given"),
        (["--output", str(tmp_path / "shard.jsonl")], "--output names one path twice"),
    ):
        monkeypatch.setattr(sys, "argv", [*arguments, *more])
        with pytest.raises(SystemExit):
            main()
        assert sentence in capsys.readouterr().err
