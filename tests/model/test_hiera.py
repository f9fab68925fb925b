"""SAM2's encoder with fewer copies equals transformers' own."""

import pytest
import torch
from transformers import Sam2VideoModel

from refvessel.model import hiera
from refvessel.model.configuration import Sa2VAConfig
from refvessel.model.hiera import ImageEncoder, Windows


@pytest.mark.parametrize(
    "trunk",
    [
        pytest.param({}, id="windows that fill the image, and one global block"),
        pytest.param(
            {"window_spec": [8, 4, 14, 7]}, id="windows that need padding, as in the smaller models"
        ),
        pytest.param({"global_att_blocks": [4, 5]}, id="a global block after another"),
        pytest.param({"global_att_blocks": [0, 4]}, id="a global block first"),
    ],
)
@pytest.mark.parametrize("at_once", [1, 2])
@torch.inference_mode()
def test_features_equal_those_of_transformers_encoder(config, trunk, at_once, monkeypatch):
    config["grounding_encoder_config"] |= {"stages": [1, 2, 3, 1], "global_att_blocks": [4]} | trunk
    torch.manual_seed(0)
    model = Sam2VideoModel(Sa2VAConfig(**config).sam2_config()).eval()
    for parameter in model.parameters():
        parameter.normal_(std=0.2)
    images = torch.randn(2, 3, 256, 256)
    fine, middle, coarse = model.vision_encoder(images).fpn_hidden_states
    narrow = model.mask_decoder.conv_s0, model.mask_decoder.conv_s1
    monkeypatch.setattr(hiera, "_IMAGES_ON_A_CPU", at_once)
    found, finer = ImageEncoder(model.vision_encoder, narrow).encode(images)
    torch.testing.assert_close(found, coarse, atol=1e-4, rtol=1e-4)
    for ours, convolution, level in zip(finer, narrow, (fine, middle), strict=True):
        torch.testing.assert_close(ours, convolution(level), atol=1e-3, rtol=1e-4)


def test_cutting_and_joining_windows_loses_nothing():
    whole = torch.arange(2 * 16 * 16 * 3).reshape(2, 16, 16, 3)
    features = Windows(whole.reshape(2, 256, 3), 16, 16, torch.zeros(3))
    for side in (8, 2, 4, 16):
        features = features.cut(side)
        assert features.tokens.shape == (2 * (16 // side) ** 2, side * side, 3)
        assert torch.equal(features.whole(), whole)
    assert torch.equal(features.cut(4).tokens[1].reshape(4, 4, 3), whole[0, :4, 4:8])
