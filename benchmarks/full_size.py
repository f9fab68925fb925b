"""A model of the 8B's shapes with random weights, which answers as a trained one does."""

import tempfile
from pathlib import Path

import torch
from demo_checkpoint.tokenizer import BASE_TOKENS, SA2VA_TOKENS, load_tokenizer, write_tokenizer
from demo_checkpoint.train import train_words
from engine import PHRASES

from refvessel.model.configuration import Sa2VAConfig
from refvessel.model.modeling import Sa2VAModel
from refvessel.model.processing import Sa2VAProcessor
from refvessel.settings.inference_section import Inference

LANGUAGE = {
    "architectures": ["Qwen2ForCausalLM"],
    "model_type": "qwen2",
    "vocab_size": 151679,
    "hidden_size": 3584,
    "intermediate_size": 18944,
    "num_hidden_layers": 28,
    "num_attention_heads": 28,
    "num_key_value_heads": 4,
    "rope_theta": 1e6,
}


def random_model(device: str) -> tuple[Sa2VAModel, Sa2VAProcessor]:
    """The 8B's shapes, answering as expected, in bfloat16 on the device."""
    with tempfile.TemporaryDirectory() as folder:
        write_tokenizer(Path(folder), train_words(), BASE_TOKENS + SA2VA_TOKENS)
        tokenizer = load_tokenizer(Path(folder))
    config = Sa2VAConfig(vision_config={}, llm_config=LANGUAGE)
    with torch.device("meta"):
        model = Sa2VAModel(config)
    model = model.to(torch.bfloat16).to_empty(device=device).eval()
    torch.manual_seed(0)
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            branch = "language_model" in name and name.endswith(("o_proj.weight", "down_proj.weight"))
            tensor.fill_(1.0) if "norm" in name and name.endswith("weight") else tensor.normal_(std=0.02)
            if branch:
                tensor.mul_(1e-3)
        decoder = model.language_model.model
        with torch.device(device):
            decoder.rotary_emb = type(decoder.rotary_emb)(config.llm_config)
        model.grounding_encoder.shared_image_embedding.positional_embedding = torch.randn(
            2, 128, device=device
        )
        embeddings = model.language_model.model.embed_tokens.weight
        embeddings.normal_()
        processor = Sa2VAProcessor(config, tokenizer)
        end = processor.prompt_ids(Inference().question.format(phrase=PHRASES[0]), 1)[-1]
        answer = processor.answer_ids(Inference().draft)
        for token, following in zip([end, *answer], answer, strict=False):
            model.language_model.lm_head.weight[following] = embeddings[token]
    model.requires_grad_(False)
    return model, processor
