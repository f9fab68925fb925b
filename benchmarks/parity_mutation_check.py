"""Whether the parity tests notice a mistake on the path from phrase and image to mask.

    python benchmarks/parity_mutation_check.py [--threads 2] [--only WORDS]

Each mutant makes one mistake in a copy of the sources; the tests of `tests/parity/test_demo_model.py` named with
it run against the copy, as `mutants.py` says.
"""

import sys

from mutants import Mutant, main

PARITY = "tests/parity/test_demo_model.py"
LIBRARIES = (
    *("accelerate", "pandas", "pyarrow.parquet", "pycocotools.mask", "scipy.stats", "skimage.measure"),
    *("transformers.models.internvl.modeling_internvl", "transformers.models.qwen2.modeling_qwen2"),
    *("transformers.models.sam2.modeling_sam2", "transformers.models.sam2_video.modeling_sam2_video"),
)
NEEDED = ("tests/parity", "tests/helpers", "tests/data/demo_model", "data/demo")
# What of the tests can notice a mistake: one stage of one image, or a batch of several.
PIXELS, TOKENS, STAGE = "pixels and {}", "token_ids", "every_stage and {}"
SMALL, LARGE = "f1", "sq800"  # of one tile and of five
VERIFIED, REFUTED = (
    "batch and longer",
    "batch and wrong",
)  # a draft that is right for a while, and one that is not
PROBES = "probes and False"


def mutant(mistake: str, module: str, tests: str, *changes: tuple[str, str]) -> Mutant:
    """A mutant of refvessel.`module`, checked by the tests that pytest's -k selects by `tests`."""
    return Mutant(mistake, module, (PARITY,), changes, keywords=tests)


def of_states(mistake: str, states: str) -> Mutant:
    """A mutant that decodes something else than the states that were handed over, near the switch."""
    return mutant(
        mistake,
        "model/grounding",
        PROBES,
        ("self.text_hidden_fcs(seg_states.to(", f"self.text_hidden_fcs(({states}).to("),
    )


MUTANTS = (
    # Pixels
    mutant(
        "tiles column by column",
        "model/internvl_inputs",
        PIXELS.format(LARGE),
        (
            "            for row in range(rows)\n            for column in range(columns)\n",
            "            for column in range(columns)\n            for row in range(rows)\n",
        ),
    ),
    mutant("no thumbnail", "model/internvl_inputs", PIXELS.format(LARGE), ("and tiles > 1", "and False")),
    mutant(
        "the thumbnail comes first",
        "model/internvl_inputs",
        PIXELS.format(LARGE),
        ("tiles.append(self._one", "tiles.insert(0, self._one"),
    ),
    mutant(
        "a bilinear resize",
        "model/processing",
        PIXELS.format(LARGE),
        (
            "(self._sam2_size, self._sam2_size), Image.Resampling.BICUBIC",
            "(self._sam2_size, self._sam2_size), Image.Resampling.BILINEAR",
        ),
    ),
    mutant(
        "blue for red in the normalisation",
        "model/normalisation",
        PIXELS.format(SMALL),
        ("(0.485, 0.456, 0.406)", "(0.406, 0.456, 0.485)"),
    ),
    mutant(
        "normalised by a half",
        "model/normalisation",
        PIXELS.format(SMALL),
        ("(0.485, 0.456, 0.406)", "(0.5, 0.5, 0.5)"),
        ("(0.229, 0.224, 0.225)", "(0.5, 0.5, 0.5)"),
    ),
    mutant(
        "pixels as shares of 256", "model/normalisation", PIXELS.format(SMALL), ("div_(255)", "div_(256)")
    ),
    # Prompts
    mutant(
        "one image token too few",
        "model/internvl_inputs",
        TOKENS,
        (
            "self.image_token * tokens_of([grids])",
            "self.image_token * (tokens_of([grids]) - 1)",
        ),
    ),
    mutant(
        "no image tokens of the thumbnail",
        "model/internvl_inputs",
        TOKENS,
        ("tokens_of([grids])", "tokens_of([grids[:-1] or grids])"),
    ),
    mutant(
        "no line break before the answer",
        "model/prompt_templates",
        TOKENS,
        ('<|im_start|>assistant\\n"\n\nTEMPLATES', '<|im_start|>assistant"\n\nTEMPLATES'),
    ),
    # Image tokens
    mutant(
        "the class token for the last patch",
        "model/internvl",
        STAGE.format(SMALL),
        ("self._read(tiles)[:, 1:]", "self._read(tiles)[:, :-1]"),
    ),
    mutant(
        "pixels shuffled by columns, InternVL's version 1",
        "model/internvl",
        STAGE.format(SMALL),
        ("blocks.permute(0, 1, 3, 2, 4, 5)", "blocks.permute(0, 3, 1, 2, 4, 5)"),
    ),
    mutant(
        "rows and columns within a token swapped",
        "model/internvl",
        STAGE.format(SMALL),
        ("blocks.permute(0, 1, 3, 2, 4, 5)", "blocks.permute(0, 1, 3, 4, 2, 5)"),
    ),
    mutant(
        "image tokens of another image",
        "inference/segmenter",
        REFUTED,
        ("zip(of_rows, places, strict=True)", "zip(of_rows[::-1], places, strict=True)"),
    ),
    # The language model
    mutant(
        "no final norm",
        "model/language",
        STAGE.format(SMALL),
        (
            "return normed(self._causal.model.norm, states) if self._normed else states",
            "return states",
        ),
    ),
    mutant(
        "no norm before a feed-forward part",
        "model/decoder_layer",
        STAGE.format(SMALL),
        ("pointwise.normed(layer.post_attention_layernorm, hidden), layer.mlp", "hidden, layer.mlp"),
    ),
    mutant(
        "the state that chose [SEG], token by token",
        "model/decoding",
        STAGE.format(SMALL),
        (
            "            going[row].read(hidden[row])\n            going[row].token_ids.append(chosen[row])\n",
            "            going[row].token_ids.append(chosen[row])\n            going[row].read(hidden[row])\n",
        ),
    ),
    mutant(
        "the state that chose [SEG], in a draft",
        "model/decoding",
        VERIFIED,
        (
            "        answer.read(states[position])\n        answer.token_ids.append(token)\n",
            "        answer.token_ids.append(token)\n        answer.read(states[position])\n",
        ),
    ),
    mutant(
        "the state of the answer's beginning",
        "model/decoding",
        VERIFIED,
        ("answer.read(states[position])", "answer.read(states[0])"),
    ),
    mutant(
        "a draft is believed",
        "model/decoding",
        REFUTED,
        ("position < len(draft) and draft[position] == token", "position < len(draft)"),
    ),
    mutant(
        "prompts of an image read each other",
        "model/packing",
        VERIFIED,
        ("(keys == SHARED) | (keys == queries)) & causal", "keys != _PADDING) & causal"),
    ),
    mutant(
        "positions go on from prompt to prompt",
        "model/packing",
        VERIFIED,
        (
            "positions[row] += range(shared, shared + len(rest))",
            "positions[row] += range(len(positions[row]), len(positions[row]) + len(rest))",
        ),
    ),
    mutant(
        "padding is read",
        "model/decoding",
        REFUTED,
        (">= longest - lengths", ">= 0 * (longest - lengths)"),
    ),
    mutant(
        "states swapped between prompts",
        "inference/segmenter",
        VERIFIED,
        (
            "torch.cat([answer.seg_states for answer in answers])",
            "torch.cat([answer.seg_states for answer in answers]).roll(1, 0)",
        ),
    ),
    # Between the two
    of_states("states replaced by zero", "0 * seg_states"),
    of_states("states replaced by their negatives", "-seg_states"),
    of_states("states with noise of 1e-4", "seg_states + 1e-4 * torch.randn_like(seg_states)"),
    mutant(
        "no ReLU between the two layers",
        "model/grounding",
        STAGE.format(SMALL),
        ("nn.ReLU(inplace=True)", "nn.Identity()"),
    ),
    # SAM2
    mutant(
        "no no_mem_embed",
        "model/grounding",
        STAGE.format(SMALL),
        ("coarse + no_memory.reshape(1, -1, 1, 1)", "coarse"),
    ),
    mutant(
        "the coarsest level alone",
        "model/hiera",
        STAGE.format(SMALL),
        ("return _project(stages[2], coarse) + added,", "return added,"),
    ),
    mutant(
        "the coarsest level left out",
        "model/hiera",
        STAGE.format(SMALL),
        ("return _project(stages[2], coarse) + added,", "return _project(stages[2], coarse),"),
    ),
    mutant(
        "the coarsest level is interpolated",
        "model/hiera",
        STAGE.format(SMALL),
        ('scale_factor=2.0, mode="nearest"', 'scale_factor=2.0, mode="bilinear"'),
    ),
    mutant(
        "no fine levels",
        "model/grounding",
        STAGE.format(SMALL),
        ("list(features.high_resolution)", "[0 * level for level in features.high_resolution]"),
    ),
    mutant(
        "one padding point for two",
        "model/grounding",
        STAGE.format(SMALL),
        ("expand(len(prompts), 2, -1)", "expand(len(prompts), 1, -1)"),
    ),
    mutant(
        "no embedding of the absent mask",
        "model/grounding",
        STAGE.format(SMALL),
        ("no_mask_embed.weight.reshape", "no_mask_embed.weight.mul(0).reshape"),
    ),
    mutant(
        "the worst of three masks",
        "model/grounding",
        STAGE.format(SMALL),
        ("iou_scores.argmax(-1)", "iou_scores.argmin(-1)"),
    ),
    mutant(
        "the first of three masks",
        "model/grounding",
        STAGE.format(SMALL),
        ("iou_scores.argmax(-1)", "0 * iou_scores.argmax(-1)"),
    ),
    mutant(
        "the mask of the largest logits",
        "model/grounding",
        STAGE.format(SMALL),
        ("iou_scores.argmax(-1)", "logits.amax((-2, -1)).argmax(-1)"),
    ),
    mutant(
        "the lead over the worst of three masks",
        "inference/segmenter",
        VERIFIED,
        ("ranked[:, 1:2]", "ranked[:, 2:3]"),
    ),
    mutant(
        "features of another image",
        "inference/segmenter",
        VERIFIED,
        (
            "[encoded.index(image) for image in index]",
            "[encoded.index(image) for image in [index[-1], *index[:-1]]]",
        ),
    ),
    mutant(
        "features of another image, of several masks an answer",
        "inference/segmenter",
        PROBES,
        (
            "[encoded.index(image) for image in index]",
            "[encoded.index(image) for image in index[::-1]]",
        ),
    ),
    # The mask
    mutant(
        "corners aligned in the square",
        "model/grounding",
        STAGE.format(SMALL),
        (
            'size=(image_size, image_size), mode="bilinear"',
            'size=(image_size, image_size), mode="bilinear", align_corners=True',
        ),
    ),
    mutant(
        "corners aligned in the image",
        "model/grounding",
        STAGE.format(SMALL),
        (
            'size=(height, width), mode="bilinear"',
            'size=(height, width), mode="bilinear", align_corners=True',
        ),
    ),
    mutant(
        "the nearest pixel for the bilinear one",
        "model/grounding",
        STAGE.format(SMALL),
        ('size=(height, width), mode="bilinear"', 'size=(height, width), mode="nearest"'),
    ),
    mutant(
        "straight to the image's size",
        "model/grounding",
        STAGE.format(LARGE),
        ("size=(image_size, image_size)", "size=(height, width)"),
    ),
    mutant(
        "a threshold of 0.45",
        "inference/official_masks",
        REFUTED,
        (".sigmoid() > MODEL_THRESHOLD", ".sigmoid() > 0.45"),
    ),
    mutant(
        "masks transposed",
        "inference/mask_texts",
        REFUTED,
        ("encode(mask.mT.numpy())", "encode(mask.numpy())"),
    ),
    mutant(
        "logits handed to the next prompt",
        "inference/segmenter",
        REFUTED,
        ("logits.split(counts),", "logits.roll(1, 0).split(counts),"),
    ),
)


if __name__ == "__main__":
    sys.exit(main(__doc__, MUTANTS, needed=NEEDED, libraries=LIBRARIES))
