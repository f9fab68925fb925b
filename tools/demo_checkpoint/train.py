"""Train the demo's Sa2VA from nothing and write its layers: `python -m demo_checkpoint.train --output DIR`.

Pretraining teaches every part (vision encoder, language model, projections, trunk, mask decoder) on several
words for the same two things, and gives the base folder and the SAM2 checkpoint. Fine-tuning then adds what a
Sa2VA fine-tuning run does: low-rank updates of the language model, and new values of its vocabulary, the
projections and the mask decoder, on the two phrases that the demo evaluates. Nothing else is in the layers.
"""

import argparse
import copy
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import nn
from torch.utils.data import DataLoader
from transformers import Qwen2Tokenizer

from demo_checkpoint.layers import write_layers
from demo_checkpoint.lora import add_updates, remove_updates
from demo_checkpoint.network import LORA_ALPHA, LORA_RANK, sa2va_config
from demo_checkpoint.objective import ANSWER, NAMING_ANSWER, QUESTION, Conversations, losses, validate
from demo_checkpoint.readme import Run, write_readme
from demo_checkpoint.samples import (
    FIRST_TRAINING_PATIENT,
    FIRST_VALIDATION_PATIENT,
    VALIDATION_IMAGES,
    Angiograms,
    Sample,
)
from demo_checkpoint.tokenizer import (
    BASE_TOKENS,
    SA2VA_TOKENS,
    load_tokenizer,
    train_tokenizer,
    write_tokenizer,
)
from refvessel.cores import usable_cores
from refvessel.demo.annotations import SEED
from refvessel.files import atomic_directory
from refvessel.model.internvl_inputs import TileInputs
from refvessel.model.modeling import Sa2VAModel
from refvessel.model.processing import Sa2VAProcessor

# Phrases for a vessel and for a catheter; the first pair is the demo's.
PHRASES = (("blood vessel", "catheter"), ("coronary artery", "guiding catheter"), ("vessel", "tube"))

_WEIGHTS = {"answer": 1.0, "pixels": 4.0, "dice": 1.0, "iou": 1.0}
_LOG_EVERY = 100  # steps


class Trainer:
    """A model on its device, its processor and its data.

    Args:
        seed: of the weights and the angiograms.
        device: cpu or cuda.
        batch_size: images a step.
        steps: of pretraining and fine-tuning together.
    """

    def __init__(self, *, seed: int, device: str, batch_size: int, steps: int) -> None:
        torch.manual_seed(seed)
        self.words = train_words()
        self.processor, self._tokenizer, self.model = new_model(self.words)
        self._device = device
        data = Angiograms(
            self.processor, seed=seed, first_patient=FIRST_TRAINING_PATIENT, length=steps * batch_size
        )
        workers = max(1, usable_cores() - 2)
        # The workers are forked here, before the model takes the GPU.
        self._batches = iter(DataLoader(data, batch_size, num_workers=workers, prefetch_factor=4))
        self.model.to(device)
        validation = Angiograms(
            self.processor, seed=seed, first_patient=FIRST_VALIDATION_PATIENT, length=VALIDATION_IMAGES
        )
        self._validation = [self._moved(batch) for batch in DataLoader(validation, batch_size=4)]

    def pretrain(self, steps: int) -> None:
        """Train every parameter, then round the weights to what bfloat16 can hold."""
        self._optimise(
            self.model.parameters(),
            [self._conversations(pair, NAMING_ANSWER) for pair in PHRASES],
            steps,
            rate=2e-3,
        )
        with torch.no_grad():
            for tensor in self.model.state_dict().values():
                tensor.copy_(tensor.to(torch.bfloat16))

    def finetune(self, steps: int) -> list[float]:
        """Train what a Sa2VA fine-tuning run does; returns the loss of each step."""
        self.model.requires_grad_(False)
        language_model = self.model.language_model
        parameters = add_updates(language_model, LORA_RANK, LORA_ALPHA)
        for module in (
            language_model.model.embed_tokens,
            language_model.lm_head,
            self.model.multi_modal_projector,
            self.model.text_hidden_fcs,
            self.model.grounding_encoder.mask_decoder,
        ):
            parameters += module.requires_grad_().parameters()
        return self._optimise(parameters, [self._conversations(PHRASES[0], ANSWER)], steps, rate=5e-4)

    def validate(self) -> dict[str, float]:
        """Mean Dice of each label over patients that are neither trained on nor evaluated by the demo."""
        return validate(self.model, self.processor, self._conversations(PHRASES[0], ANSWER), self._validation)

    def _optimise(
        self,
        parameters: Iterable[nn.Parameter],
        conversations: Sequence[Conversations],
        steps: int,
        rate: float,
    ) -> list[float]:
        parameters = list(parameters)
        optimiser = torch.optim.AdamW(parameters, lr=rate, betas=(0.9, 0.98), weight_decay=0.01)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=steps + 1, pct_start=0.1)
        history, started = [], time.monotonic()
        for step in range(1, steps + 1):
            batch = self._moved(next(self._batches))
            terms = losses(self.model, self.processor, conversations[step % len(conversations)], batch)
            loss = sum(weight * terms[name] for name, weight in _WEIGHTS.items())
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(parameters, 1.0)
            optimiser.step()
            schedule.step()
            history.append(loss.item())
            if step % _LOG_EVERY == 0 or step == steps:
                parts = " ".join(f"{name} {value.item():.3f}" for name, value in terms.items())
                dice = " ".join(f"{label} {value:.3f}" for label, value in self.validate().items())
                seconds = time.monotonic() - started
                print(f"{step}/{steps} {seconds:.0f} s  loss: {parts}  validation Dice: {dice}", flush=True)
        return history

    def _conversations(self, phrases: Sequence[str], answer: str) -> Conversations:
        return Conversations(self.processor, self._tokenizer, phrases, answer)

    def _moved(self, batch: Sample) -> Sample:
        return Sample(*(tensor.to(self._device) for tensor in batch))


def train(*, output: Path, device: str, steps: int, batch_size: int, seed: int) -> None:
    """Train and write the layers and their README, all or nothing; a quarter of the steps fine-tunes."""
    started = time.monotonic()
    torch.set_float32_matmul_precision("high")
    trainer = Trainer(seed=seed, device=device, batch_size=batch_size, steps=steps)
    model = trainer.model
    finetuning_steps = steps // 4
    trainer.pretrain(steps - finetuning_steps)
    pretrained = copy.deepcopy(model.state_dict())
    history = trainer.finetune(finetuning_steps)
    dice = trainer.validate()
    updates = remove_updates(model.language_model)
    run = Run(device, steps, finetuning_steps, batch_size, seed, time.monotonic() - started, dice)
    with atomic_directory(output) as folder:
        write_layers(
            folder,
            words=trainer.words,
            pretrained=pretrained,
            tuned=model.state_dict(),
            updates=updates,
            losses=history,
            seed=seed,
        )
        write_readme(folder, run)


def train_words() -> Tokenizer:
    """The tokenizer of the demo's sentences, without special tokens."""
    questions = [QUESTION.format(phrase=phrase) for pair in PHRASES for phrase in pair]
    return train_tokenizer([*questions, *["user\n", "assistant\n", "Sure, it is."] * len(questions)])


def new_model(words: Tokenizer) -> tuple[Sa2VAProcessor, Qwen2Tokenizer, Sa2VAModel]:
    """Processor and tokenizer, and a model of random weights."""
    with tempfile.TemporaryDirectory() as folder:
        write_tokenizer(Path(folder), words, BASE_TOKENS + SA2VA_TOKENS)
        tokenizer = load_tokenizer(Path(folder))
    config = sa2va_config(len(tokenizer))
    model = Sa2VAModel(config)
    # transformers' initial weights suit widths of hundreds; these are tens.
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            module.reset_parameters()
    return Sa2VAProcessor(config, tokenizer, TileInputs(config)), tokenizer, model


def main() -> None:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--output", type=Path, required=True, help="folder of the layers; replaced if it exists"
    )
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--steps", type=int, default=1200, help="a quarter of them fine-tunes")
    parser.add_argument("--batch-size", type=int, default=2, help="images a step")
    parser.add_argument("--seed", type=int, default=SEED)
    train(**vars(parser.parse_args()))


if __name__ == "__main__":
    main()
