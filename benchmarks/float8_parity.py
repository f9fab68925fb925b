"""What float8 products change of masks and answers, on an official folder with cases of the official code.

    PYTHONPATH=src python benchmarks/float8_parity.py FOLDER [--device cuda] [--most-tiles 3]

FOLDER holds `cases.json` with images, prompts and answers, as `tests/parity/test_internvl_qwen2.py` reads it. Masks
and answers are compared with those of float32, for bfloat16 and bfloat16 with float8 products.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from refvessel.inference.segmenter import Batch, Segmentation, Segmenter
from refvessel.model.compilation import fuse_blocks
from refvessel.model.modeling import Sa2VAModel
from refvessel.model.processing import Sa2VAProcessor
from refvessel.model.quantisation import FLOAT8_PRODUCTS
from refvessel.settings.inference_section import Inference

PATHS = {
    "float32": (torch.float32, None),
    "bfloat16": (torch.bfloat16, None),
    "bfloat16, float8 products": (torch.bfloat16, FLOAT8_PRODUCTS),
}


def answers(
    folder: Path, cases: list[dict], device: str, dtype: torch.dtype, weights: str | None
) -> list[Segmentation]:
    """The answer to each case, decoded token by token."""
    model = Sa2VAModel.load(folder, dtype=dtype, device=device, language_weights=weights)
    if device == "cuda":
        fuse_blocks(model)
    processor = Sa2VAProcessor.from_pretrained(folder)
    segmenter = Segmenter(model, processor, Inference().max_new_tokens)
    found = []
    for case in cases:
        image = processor.process_image(Image.open(folder / case["image"]).convert("RGB"))
        ((answer,),) = segmenter.segment(Batch([image], [[case["prompt"]]]))
        found.append(answer)
    return found


def main() -> None:
    """Measure and print one table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--most-tiles", type=int, default=3)
    arguments = parser.parse_args()
    every = json.loads((arguments.folder / "cases.json").read_text())
    cases = [case for case in every if case["num_tiles"] <= arguments.most_tiles]
    found = {name: answers(arguments.folder, cases, arguments.device, *path) for name, path in PATHS.items()}
    exact = found["float32"]
    print(f"{len(cases)} cases on {arguments.device}, torch {torch.__version__}\n")
    print("| computed in | answers that differ | pixels that differ, at most in a case |\n|---|---|---|")
    for name, mine in found.items():
        pairs = [*zip(exact, mine, strict=True)]
        differing = sum(one.answer != other.answer for one, other in pairs)
        pixels = [
            np.mean(one.masks != other.masks) for one, other in pairs if one.masks.shape == other.masks.shape
        ]
        print(f"| {name} | {differing} | {max(pixels, default=0):.4%} |", flush=True)


if __name__ == "__main__":
    main()
