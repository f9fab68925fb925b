"""Every part of a model works with its inputs on whatever device: no two tensors of different devices ever meet.

The devices are feigned: each tensor remembers where it was moved to, though the CPU computes everything.
"""

from typing import Any

import numpy as np
import pytest
import torch
from accelerate import dispatch_model
from known_stages import compute_stages
from torch.overrides import TorchFunctionMode

from refvessel.dataset.tree.expressions import read_expressions
from refvessel.dataset.tree.loader import open_image
from refvessel.inference.drafts import Drafts
from refvessel.inference.segmenter import Batch, Segmenter
from refvessel.model.hiera import ImageEncoder
from refvessel.model.modeling import Sa2VAModel
from refvessel.model.placement import bring_results_back
from refvessel.model.processing import Sa2VAProcessor

CPU, ONE, OTHER = map(torch.device, ("cpu", "privateuseone:0", "privateuseone:1"))
_INDEXING = (torch.Tensor.__getitem__, torch.Tensor.__setitem__)

# The first part of each chain on one device, the next on the other, and back; layers alternate.
DEVICES = {
    "vision_model.embeddings": OTHER,
    "vision_model.encoder.layer.0": ONE,
    "vision_model.encoder.layer.1": OTHER,
    "vision_model.encoder.layer.2": ONE,
    "vision_model.layernorm": OTHER,
    "multi_modal_projector.layer_norm": ONE,
    "multi_modal_projector.linear_1": OTHER,
    "multi_modal_projector.act": OTHER,
    "multi_modal_projector.linear_2": ONE,
    "language_model.model.embed_tokens": OTHER,
    "language_model.model.rotary_emb": OTHER,
    "language_model.model.layers.0": OTHER,
    "language_model.model.layers.1": ONE,
    "language_model.model.layers.2": OTHER,
    "language_model.model.norm": OTHER,
    "language_model.lm_head": OTHER,
    "text_hidden_fcs.0": OTHER,
    "text_hidden_fcs.1": OTHER,
    "text_hidden_fcs.2": ONE,
    "grounding_encoder": ONE,
}


@pytest.fixture(autouse=True)
def every_image_is_computed(monkeypatch):
    """Known features would lie where another model had them."""
    monkeypatch.setattr(ImageEncoder, "_stages", compute_stages)


class FakeDevices(TorchFunctionMode):
    """Keeps the device of every tensor that is made or moved, and raises RuntimeError where two devices meet.

    What PyTorch allows is allowed: a tensor without dimensions, or an index, may come from the CPU.
    """

    def __torch_function__(
        self, function: Any, _types: Any, arguments: tuple = (), keywords: dict | None = None
    ) -> Any:
        if function == torch.Tensor.device.__get__:
            return device_of(arguments[0])
        keywords = dict(keywords or {})
        device = keywords.pop("device", None)
        keywords.pop("pin_memory", None)
        if function is torch.Tensor.to:
            return moved(device, *arguments, **keywords)
        if function is torch.Tensor.copy_:
            device = device_of(arguments[0])
        return put(function(*arguments, **keywords), device or common_device(function, arguments, keywords))


def device_of(tensor: torch.Tensor) -> torch.device:
    return getattr(tensor, "fake_device", CPU)


def put(value: Any, device: torch.device | str) -> Any:
    for tensor in tensors(value):
        tensor.fake_device = torch.device(device)
    return value


def moved(device: Any, tensor: torch.Tensor, target: Any = None, *rest: Any, **keywords: Any) -> torch.Tensor:
    """What `tensor.to(target, ...)` gives: target is a device, a dtype or another tensor."""
    keywords.pop("non_blocking", None)
    if isinstance(target, torch.device | str):
        device, target = target, None
    elif isinstance(target, torch.Tensor):
        device, target = device_of(target), target.dtype
    result = tensor.view_as(tensor)
    if target is not None or keywords:
        result = result.to(*filter(None, [target]), *rest, **keywords)
    return put(result, device or device_of(tensor))


def common_device(function: Any, arguments: tuple, keywords: dict) -> torch.device:
    whole = [*tensors(arguments[:1] if function in _INDEXING else arguments), *tensors(keywords)]
    devices = {device_of(each) for each in whole if each.dim()}
    if function in _INDEXING:
        devices |= {device_of(each) for each in tensors(arguments[1:])} - {CPU}
    if len(devices) > 1:
        raise RuntimeError(f"{function.__name__}: tensors on {' and '.join(sorted(map(str, devices)))} meet")
    return next(iter(devices or map(device_of, whole)), CPU)


def tensors(value: Any) -> list[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, dict):
        value = value.values()
    if not hasattr(value, "__iter__") or isinstance(value, str):
        return []
    return [tensor for each in value for tensor in tensors(each)]


def device_of_module(name: str) -> torch.device:
    (device,) = (device for part, device in DEVICES.items() if f"{name}.".startswith(f"{part}."))
    return device


@pytest.fixture
def spread_model(demo_model) -> Sa2VAModel:
    """The demo's model with accelerate's hooks, its parts on the feigned devices."""
    model = Sa2VAModel.load(demo_model, dtype=torch.float32)
    dispatch_model(model, dict.fromkeys(DEVICES, "cpu"), force_hooks=True)
    for name, module in model.named_modules():
        if name and hasattr(module, "_hf_hook"):
            module._hf_hook.execution_device = device_of_module(name)
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        put(tensor, device_of_module(name))
    return model


@pytest.fixture
def asked(tree, demo_model):
    """A function that segments two images of the tree; a draft that is short or none lets it decode by steps."""
    processor = Sa2VAProcessor.from_pretrained(demo_model)
    paths = {each.image_path: each for each in read_expressions(tree, "test")}
    images = [processor.process_image(open_image(each)) for each in list(paths.values())[:2]]
    phrases = [["blood vessel", "catheter"], ["catheter"]]
    prompts = [[f"<image>\n Please segment {each} in this image." for each in mine] for mine in phrases]

    def ask(model, draft):
        drafts = Drafts(processor.answer_ids(draft), processor.stop_token_ids) if draft else None
        answered = Segmenter(model, processor, 12, drafts).segment(Batch(images, prompts))
        return [each for mine in answered for each in mine]

    return ask


@pytest.mark.parametrize("draft", ["Sure, [SEG].", "Sure", None])
def test_a_model_on_many_devices_answers_as_on_one(demo_model, spread_model, asked, draft):
    with FakeDevices():
        bring_results_back(spread_model, spread_model.vision.called)
        assert spread_model.device == ONE
        spread = asked(spread_model, draft)
    for one, other in zip(
        asked(Sa2VAModel.load(demo_model, dtype=torch.float32), draft), spread, strict=True
    ):
        assert one.answer == other.answer
        assert one.masks.any()
        assert np.array_equal(one.masks, other.masks)


def test_without_results_brought_back_devices_meet_and_that_is_seen(spread_model, asked):
    with (
        FakeDevices(),
        pytest.raises(RuntimeError, match="tensors on privateuseone:0 and privateuseone:1 meet"),
    ):
        asked(spread_model, None)


def test_feigned_devices_are_as_strict_as_true_ones():
    with FakeDevices():
        here, there = torch.ones(2).to(ONE), torch.ones(2, device=OTHER)
        assert (here.device, there.device, (here * 2).device) == (ONE, OTHER, ONE)
        for meeting in (lambda: here + there, lambda: torch.cat([here, there]), lambda: here[there.long()]):
            with pytest.raises(RuntimeError, match="meet"):
                meeting()
        assert here[torch.zeros(1, dtype=torch.int64)].device == ONE
        assert (here * torch.tensor(2.0)).device == ONE
        assert torch.equal(here + there.to(here), torch.full((2,), 2.0).to(ONE))
