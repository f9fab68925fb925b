"""The official code's results on sequences; they lie in the shared folder.

SAM2's score says of every frame of them, prompted or tracked, that nothing is there (-0.01 to -0.02), and the
official logits reach 40 nevertheless: the official code blanks no mask.

Bars: `parity/README.md` there. Memory attention at full size takes seconds a frame: of each sequence longer than
the five prompted frames, one that is tracked is computed.
"""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from refvessel.dataset.tree.loader import read_pixels
from refvessel.inference.official_masks import official_masks
from refvessel.inference.segmenter import Segmenter
from refvessel.model.modeling import Sa2VAModel
from refvessel.model.processing import Sa2VAProcessor
from refvessel.model.video_memory import Tracking, VideoMemory

STATES, PROMPTED, TRACKED = 1e-5, 2e-4, 5e-2
EQUAL = 0.9999  # of pixels
SHOWN = 5
CASES = ("v202.vos", "v203.image")  # seven frames and four, the one question and the other


@pytest.fixture(scope="module")
def model(parity):
    return Sa2VAModel.load(parity, dtype=torch.float32)


@pytest.fixture(scope="module")
def processor(parity):
    return Sa2VAProcessor.from_pretrained(parity)


def test_answers_states_and_masks_are_the_official_ones(shared, model, processor, assert_within):
    folder = shared / "parity" / "internvl_qwen2_video"
    cases = [case for case in json.loads((folder / "cases.json").read_text()) if case["case"] in CASES]
    official = load_file(folder / "cases.safetensors")
    memory = VideoMemory(model.grounding_encoder, model.image_encoder)
    blanking = VideoMemory(model.grounding_encoder, model.image_encoder, blanks=True)
    segmenter = Segmenter(model, processor, 64)
    for case in cases:
        images = [read_pixels(folder / frame) for frame in case["frames"]]
        view = processor.view_frames(images[:SHOWN])
        ((answer,),) = segmenter.answer([view], [[case["prompt"]]])
        name = case["case"]
        assert len(processor.prompt_ids(case["prompt"], view.layout)) == case["num_prompt_tokens"], name
        assert answer.token_ids == case["generated_ids"], name
        assert segmenter.text_of(answer) == case["generated_text"], name
        assert_within(STATES, f"{name}: states", answer.seg_states, official[f"{name}.seg_hidden_states"])
        with torch.inference_mode():
            prompts = model.text_hidden_fcs(answer.seg_states[:1])
            prompted, logits = {}, []
            for place, image in enumerate(images[: SHOWN + 1]):
                features = memory.encode(model.pixels([processor.whole(image)[None]], torch.float32))
                if place < SHOWN:
                    masks = memory.prompted(features, prompts)
                    assert place or (blanking.prompted(features, prompts).logits < -1000).all()
                    if len(images) > SHOWN:
                        prompted[place] = memory.remember(features, masks)
                else:
                    masks = Tracking(memory, prompted).step(place, features)
                logits.append(masks.logits[0])
        height, width = case["height"], case["width"]
        for place, found in enumerate(logits):
            bar, expected = PROMPTED if place < SHOWN else TRACKED, official[f"{name}.low_res_logits"][place]
            assert_within(bar, f"{name}: frame {place}", found[::2, ::2], expected)
            packed = official[f"{name}.masks_packed"][place].numpy()
            masks = np.unpackbits(packed)[: height * width].reshape(height, width).astype(bool)
            mask = official_masks(found[None], height=height, width=width)[0].numpy()
            assert (mask == masks).mean() >= EQUAL, (name, place)
