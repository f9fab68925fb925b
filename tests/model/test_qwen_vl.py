"""Folders of the Qwen-VL families: told by what they hold, prepared as the library does, trusted in nothing."""

import json
import shutil
import time
from copy import deepcopy
from functools import partial

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from qwen_folder import FAMILIES, TEMPLATE, write_qwen_folder
from safetensors.torch import load_file, save_file
from transformers import Qwen2Tokenizer

from refvessel.checkpoint.official_folder import read_official_folder
from refvessel.errors import UserError
from refvessel.model.chat_rendering import render_turn
from refvessel.model.compilation import compile_blocks
from refvessel.model.configuration import config_of
from refvessel.model.decoding import Stopping
from refvessel.model.modeling import Sa2VAModel
from refvessel.model.naming import embedding_name, head_name, to_module, to_official
from refvessel.model.official_tensors import official_shapes
from refvessel.model.packing import pack_prompts
from refvessel.model.processing import Sa2VAProcessor
from refvessel.model.quantisation import QuantisedLinear
from refvessel.model.qwen_configuration import qwen_family
from refvessel.model.qwen_inputs import smart_resize
from refvessel.model.spreading import Spreading

TOKEN = "<|image_pad|>"
QUESTION = "<image>\n Please segment the vessel in this image."


@pytest.fixture(scope="module", params=FAMILIES)
def original(request, tmp_path_factory):
    return write_qwen_folder(tmp_path_factory.mktemp("models") / request.param, request.param)


@pytest.fixture
def folder(original, tmp_path):
    """A family's folder, free to be changed."""
    return shutil.copytree(original, tmp_path / "model")


@pytest.fixture(scope="module")
def model(original):
    return Sa2VAModel.load(original, dtype=torch.float32)


@pytest.fixture(scope="module")
def processor(original):
    return Sa2VAProcessor.from_pretrained(original)


def edit(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_a_folder_is_recognised_by_its_parts_whatever_class_it_names(original):
    config = json.loads((original / "config.json").read_text())
    shapes = official_shapes(config)
    for architectures in (["Qwen2_5_VLForConditionalGeneration"], ["Qwen3VLForConditionalGeneration"], None):
        assert official_shapes(config | {"architectures": architectures}) == shapes
    nameless = json.loads(json.dumps(config))
    for part in ("vision_config", "text_config"):
        del nameless[part]["model_type"]
    assert qwen_family(nameless) == qwen_family(config)
    flat = {**nameless, **nameless["text_config"]}
    del flat["text_config"]
    assert official_shapes(flat) == shapes
    assert config_of(config).llm_config.eos_token_id is None  # the tokenizer says it


def test_names_are_those_of_the_folder_and_translate_there_and_back(original, model):
    tensors = load_file(original / "model.safetensors")
    shapes = official_shapes(json.loads((original / "config.json").read_text()))
    assert {name: tuple(tensor.shape) for name, tensor in tensors.items()} == shapes
    architecture = model.config.architecture
    for name in shapes:
        assert to_official(to_module(name, architecture), architecture) == name
    assert head_name(architecture) == "model.lm_head.weight"
    assert embedding_name(architecture) == "model.model.language_model.embed_tokens.weight"
    assert to_module("vision_model.blocks.0.norm1.weight", architecture) is None
    assert read_official_folder(original).tensors.keys() == shapes.keys()


def test_what_a_folder_lacks_is_named_as_it_would_name_it(folder):
    tensors = load_file(folder / "model.safetensors")
    del tensors["model.model.visual.blocks.0.attn.qkv.bias"]
    save_file(tensors | {"model.model.visual.odd": torch.ones(1)}, folder / "model.safetensors")
    with pytest.raises(
        UserError, match=r"lacks model\.model\.visual\.blocks\.0\.attn\.qkv\.bias; .*visual\.odd"
    ):
        Sa2VAModel.load(folder, dtype=torch.float32)


SIDES = st.integers(20, 3000)


@given(width=SIDES, height=SIDES, unit=st.sampled_from([28, 32]))
def test_sizes_are_those_of_the_librarys_processor(width, height, unit):
    theirs = pytest.importorskip("transformers.models.qwen2_vl.image_processing_pil_qwen2_vl")
    least, most = 512 * 28 * 28, 2048 * 28 * 28
    expected = theirs.smart_resize(height, width, factor=unit, min_pixels=least, max_pixels=most)
    assert smart_resize(width, height, unit, least, most) == expected[::-1]


def test_a_layout_is_that_of_the_image_as_it_is_read(processor):
    for size in ((512, 512), (90, 400), (1500, 1100)):
        view = processor.process_image(Image.new("L", size)).view
        assert view.layout == processor.layout(*size)
        ((rows, columns),) = view.layout[0]
        assert view.tiles.shape[:2] == (4 * rows * columns, 1)
    with pytest.raises(UserError, match="200 times as long"):
        processor.process_image(Image.new("L", (4001, 20)))


def test_a_question_stands_in_the_turn_of_the_folders_template(original, processor):
    tokenizer = Qwen2Tokenizer.from_pretrained(original, local_files_only=True)
    layout = (((2, 3),), ((1, 2),))
    for question in (QUESTION, "  what <image> is {{ 1 / 0 }}  "):
        content = [{"type": "image"}] * 2 + [{"type": "text", "text": question.replace("<image>", "")}]
        rendered = tokenizer.apply_chat_template(
            [{"role": "user", "content": content}],
            chat_template=TEMPLATE,
            tokenize=False,
            add_generation_prompt=True,
        )
        first, second, rest = rendered.split(TOKEN)
        expected = tokenizer.encode(f"{first}{TOKEN * 6}{second}{TOKEN * 2}{rest}")
        assert processor.prompt_ids(question, layout) == expected


def test_a_phrase_that_holds_an_image_token_is_refused(processor):
    with pytest.raises(UserError, match="remove that"):
        processor.prompt_ids(f"<image> the {TOKEN}", processor.layout(90, 90))


HOSTILE = {
    "endless": "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "huge": "{{ 'a' * 10**10 }}",
    "unknown": "{{ '' | unheard_of }}",
    "of classes": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "of files": "{% include '/etc/hostname' %}",
    "without an image": "{{ messages[0].content[-1].text }}",
    "without a question": "<|image_pad|>",
    "that doubles": "<|image_pad|>{{ messages[0].content[-1].text * 2 }}",
    "that refuses": "{{ raise_exception('no images') }}",
}


@pytest.mark.parametrize("template", HOSTILE)
def test_a_template_that_is_no_turn_is_refused_in_one_sentence(template):
    begin = time.monotonic()
    with pytest.raises(UserError, match=r"the chat template (cannot be rendered|does not put)") as caught:
        render_turn(HOSTILE[template], 1, TOKEN, {})
    assert "\n" not in str(caught.value)
    assert time.monotonic() - begin < 60


def test_a_template_that_strips_questions_strips_them():
    turn = render_turn("u {{ '<|image_pad|>' }}{{ messages[0].content[-1].text | trim }} a", 1, TOKEN, {})
    assert turn.around("\n what? ", ["<i>"]) == "u <i>what? a"


KERNEL = "kernels-community/flash-attn"
EVIL = {
    "attn_implementation": KERNEL,
    "_attn_implementation": KERNEL,
    "auto_map": {"AutoModel": "somebody/else--evil.M"},
    "torch_dtype": "hub",
    "tp_plan": "auto",
    "_name_or_path": "somebody/else",
    "transformers_weights": "other.safetensors",
}


def test_settings_of_a_folder_choose_no_code_and_no_file(folder, model, processor):
    for name in ("config.json", "preprocessor_config.json"):
        edit(folder / name, lambda content: content.update(EVIL, processor_class="evil.P"))
    for part in ("vision_config", "text_config"):
        edit(folder / "config.json", lambda content, part=part: content[part].update(EVIL))
    (folder / "adapter_config.json").write_text("{")
    (folder / "video_preprocessor_config.json").write_text("{")
    again = Sa2VAModel.load(folder, dtype=torch.float32)
    assert "kernels-community" not in str(again.config.llm_config.to_dict())
    for name, tensor in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor), name
    layout = processor.layout(90, 90)
    assert Sa2VAProcessor.from_pretrained(folder).prompt_ids(QUESTION, layout) == processor.prompt_ids(
        QUESTION, layout
    )


BAD = [
    ("config.json", "vision_config", {"depth": 10**8}, "vision_config.depth is 100000000"),
    ("config.json", "vision_config", {"patch_size": 0}, "vision_config.patch_size is 0"),
    ("config.json", "vision_config", {"spatial_merge_size": 3}, "spatial_merge_size is 3, but only 2"),
    ("config.json", "vision_config", {"out_hidden_size": 64}, "out_hidden_size is 64, but text_config"),
    ("config.json", "vision_config", {"quantization_config": {"bits": 4}}, "quantization_config is stated"),
    ("config.json", "text_config", {"num_hidden_layers": 10**8}, "text_config.num_hidden_layers"),
    ("config.json", "text_config", {"rope_theta": 0}, "text_config.rope_theta is 0"),
    ("config.json", "text_config", {"hidden_act": "unheard_of"}, "no model that can be built"),
    (
        "config.json",
        "text_config",
        {"rope_scaling": {"rope_type": "default", "mrope_section": [1, 1, 9]}},
        "mrope_section is",
    ),
    ("config.json", None, {"image_token_id": 3}, "is 3, but .* the id"),
    ("preprocessor_config.json", None, {"image_std": [0.2, 0.0, 0.2]}, "image_std is .* three numbers"),
    ("preprocessor_config.json", None, {"image_mean": "x"}, "image_mean is 'x', not three numbers"),
    ("preprocessor_config.json", None, {"do_resize": False}, "do_resize is False"),
    ("preprocessor_config.json", None, {"rescale_factor": 1.0}, "rescale_factor is 1.0"),
    ("preprocessor_config.json", None, {"patch_size": 7}, "patch_size is 7"),
]


@pytest.mark.parametrize(("file", "part", "settings", "sentence"), BAD)
def test_what_a_folder_may_ask_for_is_bounded(file, part, settings, sentence, folder):
    edit(folder / file, lambda content: (content[part] if part else content).update(settings))
    with pytest.raises(UserError, match=sentence) as caught:
        read_official_folder(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("file", ["preprocessor_config.json", "chat_template.jinja"])
def test_a_folder_without_what_its_inputs_need_is_refused(file, folder):
    (folder / file).unlink()
    with pytest.raises(UserError, match=f"there is no .*{file}"):
        read_official_folder(folder)


@torch.inference_mode()
def test_fused_and_replaced_layers_compute_the_same(model, processor):
    fused = deepcopy(model)
    compile_blocks(fused)
    view = processor.process_image(Image.effect_noise((300, 200), 64)).view
    with fused.uncompiled():
        (found,) = fused.read_images([view])
    (expected,) = model.read_images([view])
    for ours, theirs in zip(
        (found.tokens, *found.deepstack), (expected.tokens, *expected.deepstack), strict=True
    ):
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


@torch.inference_mode()
def computed(model, processor):
    """Image tokens, an answer of several steps, and its states."""
    view = processor.process_image(Image.linear_gradient("L").resize((90, 120))).view
    (tokens,) = model.read_images([view])
    ids = processor.prompt_ids(QUESTION, view.layout)
    packed = processor.placed(pack_prompts([[ids]], []), [view.layout]).on(model.device)
    begun = model.read_prompts(packed, tokens, processor.image_token_id)
    stopping = Stopping(processor.stop_token_ids, 9)
    (answer,) = model.answers(begun, seg_token_id=processor.seg_token_id, stopping=stopping)
    return tokens.tokens, torch.tensor(answer.token_ids), answer.seg_states


def test_a_model_of_8_bits_on_the_disk_but_for_sam2_computes_the_same(original, processor, tmp_path):
    load = partial(Sa2VAModel.load, original, dtype=torch.float32, language_weights="int8")
    whole = load()
    sam2 = sum(tensor.nbytes for tensor in whole.grounding_encoder.state_dict().values())
    spread = load(spreading=Spreading({"cpu": sam2 + 300_000}, tmp_path))
    assert "disk" in spread.hf_device_map.values()
    for one, other in zip(computed(whole, processor), computed(spread, processor), strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=0)
    layer = whole.language_model.model.layers[0]
    assert isinstance(layer.self_attn.q_proj, QuantisedLinear)
