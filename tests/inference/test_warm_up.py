"""What makes a GPU ready goes through all that a batch does, and leaves nothing behind."""

import threading

import torch

from refvessel.inference import preparing, warm_up
from refvessel.inference.plan import ImageTask
from refvessel.inference.preparing import LikeBatch, few_layers, rehearse
from refvessel.inference.warm_up import rehearsed, warmed_up
from refvessel.model.modeling import Sa2VAModel
from refvessel.model.processing import Sa2VAProcessor
from refvessel.settings.inference_section import Inference

PROMPT = "<image>\n Please segment vessel in this image."


def like(folder):
    draft = Inference().draft
    return LikeBatch(str(folder), (60, 90), (PROMPT, PROMPT), 2, "float32", draft, None)


def test_a_rehearsal_reads_images_answers_them_and_writes_masks(demo_model, monkeypatch):
    seen, encoded = [], []
    decode_masks = Sa2VAModel.decode_masks

    def noted(self, features, states, images):
        seen.append(len(states))
        return decode_masks(self, features, states, images)

    monkeypatch.setattr(Sa2VAModel, "decode_masks", noted)
    monkeypatch.setattr(preparing, "encode_masks", encoded.extend)
    batch = like(demo_model)
    rehearse(few_layers(batch, torch.device("cpu")), Sa2VAProcessor.from_pretrained(demo_model), batch)
    assert seen == [4]
    assert encoded[0].shape == (2, 90, 60)
    assert torch.get_default_dtype() == torch.float32


def test_it_is_over_with_the_block_and_its_failure_is_nobodys(demo_model, monkeypatch):
    def fail(*_):
        raise RuntimeError("CUDA error")

    monkeypatch.setattr(warm_up, "rehearse", fail)
    before = threading.active_count()
    with rehearsed(like(demo_model), Sa2VAProcessor.from_pretrained(demo_model), torch.device("cpu")):
        pass
    assert threading.active_count() == before


def test_on_the_cpu_nothing_is_warmed_up(demo_model, expression, tmp_path, monkeypatch):
    monkeypatch.setattr(warm_up, "few_layers", None)
    tasks = [ImageTask((expression(sent_id=1, image_path=tmp_path / "a.png"),))] * 64
    with warmed_up(demo_model, tasks, [PROMPT], None, settings=Inference(), device=torch.device("cpu")):
        pass
