"""Where the parts of a spread model lie, and that they compute what they do on one device."""

from collections import Counter

import pytest
import torch

from refvessel.errors import UserError
from refvessel.model.configuration import Sa2VAConfig
from refvessel.model.decoding import Stopping
from refvessel.model.image_tokens import ImageTokens
from refvessel.model.modeling import Sa2VAModel
from refvessel.model.packing import pack_prompts
from refvessel.model.placement import bytes_on_disk, place
from refvessel.model.spreading import Spreading

SAM2 = "grounding_encoder"


@pytest.fixture(scope="module")
def sizes(random_model) -> dict[str, int]:
    """Bytes of each module, counted tensor by tensor."""
    return bytes_by_module(random_model)


def bytes_by_module(model) -> Counter:
    counted = Counter()
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        parts = name.split(".")
        for count in range(len(parts)):
            counted[".".join(parts[:count])] += tensor.nbytes
    return counted


@pytest.fixture(scope="module")
def largest(sizes) -> int:
    """Bytes of the largest thing that is not split, SAM2 left out."""
    return max(sizes["vision_model.embeddings"], sizes["language_model.model.layers.0"])


@pytest.fixture
def skeleton(config) -> Sa2VAModel:
    with torch.device("meta"):
        return Sa2VAModel(Sa2VAConfig(**config))


@pytest.fixture
def deep(config) -> Sa2VAModel:
    """A model of many layers, none of which is a large part of it."""
    config["llm_config"]["num_hidden_layers"] = 200
    with torch.device("meta"):
        return Sa2VAModel(Sa2VAConfig(**config))


def bytes_of(device_map, sizes, device):
    return sum(sizes[name] for name, where in device_map.items() if where == device)


def test_a_model_that_fits_stays_whole(skeleton, sizes):
    assert place(skeleton, torch.float32, {0: 2 * sizes[""], "cpu": 10**12}) == {"": 0}
    assert place(skeleton, torch.float32, {"cpu": 2 * sizes[""]}) == {"": "cpu"}


@pytest.mark.parametrize("gpus", [2, 3])
def test_gpus_share_a_model_though_it_would_fit_on_one(deep, largest, gpus):
    sizes = bytes_by_module(deep)
    device_map = place(deep, torch.float32, dict.fromkeys(range(gpus), 10**9) | {"cpu": 10**12})
    shares = [bytes_of(device_map, sizes, gpu) for gpu in range(gpus)]
    assert sum(shares) == sizes[""]
    assert all(abs(share - sizes[""] / gpus) <= gpus * largest < sizes[""] / 4 for share in shares)


def test_what_a_gpu_cannot_hold_goes_to_memory_and_then_to_disk_but_never_sam2(deep):
    sizes = bytes_by_module(deep)
    on_gpu, on_cpu = sizes[SAM2] + sizes[""] // 4, sizes[""] // 4
    device_map = place(deep, torch.float32, {0: on_gpu, "cpu": on_cpu})
    assert device_map[SAM2] == 0
    assert set(device_map.values()) == {0, "cpu", "disk"}
    assert bytes_of(device_map, sizes, 0) <= on_gpu
    assert bytes_of(device_map, sizes, "cpu") <= on_cpu
    assert sum(bytes_of(device_map, sizes, device) for device in (0, "cpu", "disk")) == sizes[""]


def test_all_but_sam2_may_be_on_disk(skeleton, sizes, largest):
    device_map = place(skeleton, torch.float32, {"cpu": sizes[SAM2] + largest})
    assert device_map == dict.fromkeys(dict(skeleton.named_children()), "disk") | {SAM2: "cpu"}


def test_weights_of_half_the_size_need_half_the_room(skeleton, sizes):
    assert place(skeleton, torch.bfloat16, {"cpu": int(0.8 * sizes[""])}) == {"": "cpu"}


def test_a_main_device_without_room_for_sam2_and_a_layer_is_an_error(skeleton, sizes, largest):
    with pytest.raises(UserError, match=r"max_memory leaves .* of GPU 0 .* SAM2 and one layer .* raise it"):
        place(skeleton, torch.float32, {0: sizes[SAM2] + largest - 1, "cpu": 10**12})


def test_only_what_no_file_holds_is_written_to_the_disk(
    write_folder, official_tensors, skeleton, sizes, largest, tmp_path
):
    spreading = Spreading({"cpu": sizes[SAM2] + largest}, tmp_path / "offload")
    spreading.offload_folder.mkdir()
    Sa2VAModel.load(write_folder(official_tensors), dtype=torch.float32, spreading=spreading)
    written = {file.name.removesuffix(".safetensors") for file in spreading.offload_folder.iterdir()}
    parts = {name for name in skeleton.state_dict() if name.split(".")[-2] in ("q_proj", "k_proj", "v_proj")}
    assert written == {name for name in parts if name.startswith("vision_model")}
    device_map = place(skeleton, torch.float32, spreading.max_memory)
    on_disk = sum(file.stat().st_size for file in spreading.offload_folder.iterdir())
    expected = bytes_on_disk(skeleton, torch.float32, device_map, skeleton.state_dict().keys() & written)
    assert on_disk < expected < on_disk + len(written) * 2 * 4096


def test_a_disk_without_room_is_an_error_before_anything_is_written(
    write_folder, official_tensors, sizes, largest, tmp_path, monkeypatch
):
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 100}))
    spreading = Spreading({"cpu": sizes[SAM2] + largest}, tmp_path / "offload")
    with pytest.raises(UserError, match=r"offload needs .* free some space"):
        Sa2VAModel.load(write_folder(official_tensors), dtype=torch.float32, spreading=spreading)
    assert not spreading.offload_folder.exists()


@pytest.mark.parametrize("language_weights", [None, "int8", "float8"])
@pytest.mark.parametrize("tied", [False, True])
@torch.inference_mode()
def test_a_model_partly_on_disk_computes_what_it_does_in_memory(
    write_folder, official_tensors, config, sizes, largest, tmp_path, language_weights, tied
):
    tensors = dict(official_tensors)
    if tied:
        del tensors["language_model.lm_head.weight"]
    folder = write_folder(tensors, llm_config=config["llm_config"] | {"tie_word_embeddings": tied})
    spreading = Spreading({"cpu": sizes[SAM2] + largest}, tmp_path / "offload")
    spreading.offload_folder.mkdir()
    load = {"dtype": torch.float32, "language_weights": language_weights}
    whole = Sa2VAModel.load(folder, **load)
    spread = Sa2VAModel.load(folder, **load, spreading=spreading)
    assert {parameter.device.type for parameter in spread.parameters()} == {"cpu", "meta"}
    for one, other in zip(computed(whole), computed(spread), strict=True):
        assert torch.equal(one, other)


def computed(model):
    """Image tokens, the states and tokens of an answer of several steps, and masks."""
    torch.manual_seed(3)
    tokens = model.vision.embed_tiles(torch.randn(1, 3, 448, 448))
    prompts = pack_prompts([[[3, 7, 7, 4]]], [9]).on(model.device)
    begun = model.read_prompts(prompts, ImageTokens(tokens.flatten(0, 1)[:2]), image_token_id=7)
    (answer,) = model.answers(begun, seg_token_id=9, stopping=Stopping((), 6))
    states = torch.randn(1, model.config.llm_config.hidden_size)
    features = model.encode_images(torch.randn(1, 3, 256, 256))
    logits, scores = model.decode_all_masks(features, states)
    return tokens, torch.tensor(answer.token_ids), answer.seg_states, logits, scores
