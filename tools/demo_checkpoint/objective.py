"""What the demo model is trained for, and how well it does on angiograms that it was not trained on."""

from collections.abc import Sequence

import torch
from torch.nn import functional
from transformers import Qwen2Tokenizer

from demo_checkpoint.samples import LABELS, Sample
from refvessel.model.decoding import Stopping
from refvessel.model.grounding import upsample_logits
from refvessel.model.image_tokens import ImageTokens
from refvessel.model.modeling import Sa2VAModel
from refvessel.model.normalisation import normalise
from refvessel.model.packing import pack_prompts
from refvessel.model.processing import Sa2VAProcessor
from refvessel.settings.inference_section import Inference

QUESTION = Inference().question
ANSWER = "Sure, [SEG].<|im_end|>"
# In pretraining the answer also names what it shows. The state of [SEG] then has to hold the phrase from the
# start; without that, both phrases long get the same mask, and nothing tells the language model to look back.
NAMING_ANSWER = "Sure, [SEG] {phrase}.<|im_end|>"
_IGNORED = -100  # cross_entropy's label of tokens that are not predicted


class Conversations:
    """The questions for a phrase of each label, and their answers, as token ids of one length.

    Args:
        processor: of the model.
        tokenizer: of the model.
        phrases: one for each of `LABELS`.
        answer: what the model shall say, up to `[SEG]` the same for every phrase.
    """

    def __init__(
        self, processor: Sa2VAProcessor, tokenizer: Qwen2Tokenizer, phrases: Sequence[str], answer: str
    ) -> None:
        one_tile = processor.layout(448, 448)
        questions = [processor.prompt_ids(QUESTION.format(phrase=phrase), one_tile) for phrase in phrases]
        answers = [tokenizer.encode(answer.format(phrase=phrase)) for phrase in phrases]
        self.questions = questions
        self.question_length = max(map(len, questions))
        self.seg_position = self.question_length + answers[0].index(processor.seg_token_id)
        # Questions are padded on the left, as at inference, and answers on the right.
        before = [self.question_length - len(question) for question in questions]
        after = [max(map(len, answers)) - len(ids) for ids in answers]
        padding = tokenizer.pad_token_id
        rows = list(zip(before, questions, answers, after, strict=True))
        self.input_ids = torch.tensor([[padding] * b + q + a + [padding] * e for b, q, a, e in rows])
        self.attention_mask = torch.tensor([[0] * b + [1] * len(q + a) + [0] * e for b, q, a, e in rows])
        self.answer_labels = torch.tensor([a + [_IGNORED] * e for _, _, a, e in rows])

    def embed(
        self, model: Sa2VAModel, processor: Sa2VAProcessor, tiles: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Embeddings (images * phrases, length, hidden size), image by image, and their attention mask."""
        image_embeds = model.vision.embed_tiles(normalise(tiles, torch.float32))
        repeated = image_embeds.repeat_interleave(len(self.input_ids), dim=0).flatten(0, 1)
        input_ids = self.input_ids.repeat(len(tiles), 1).to(tiles.device)
        embeds = model.embed_prompts(input_ids, repeated, processor.image_token_id)
        return embeds, self.attention_mask.repeat(len(tiles), 1).to(tiles.device)


def losses(
    model: Sa2VAModel, processor: Sa2VAProcessor, conversations: Conversations, batch: Sample
) -> dict[str, torch.Tensor]:
    """The terms of the loss, each a scalar.

    answer: cross-entropy of the answer's tokens.
    pixels, dice: binary cross-entropy and 1 - soft Dice of the masks at 512x512. All three masks learn, and
    iou: the squared error of their predicted IoU; at inference the mask with the highest one is taken.
    """
    embeds, attention_mask = conversations.embed(model, processor, batch.tiles)
    positions = (attention_mask.cumsum(-1) - 1).clamp(min=0)
    hidden = model.language_model.model(
        inputs_embeds=embeds, attention_mask=attention_mask, position_ids=positions, use_cache=False
    ).last_hidden_state
    start = conversations.question_length
    predicted = model.language_model.lm_head(hidden[:, start - 1 : -1])
    wanted = conversations.answer_labels.repeat(len(batch.tiles), 1).to(predicted.device)

    features = model.encode_images(normalise(batch.image, torch.float32)).of(_image_of_prompt(batch))
    logits, iou_scores = model.decode_all_masks(features, hidden[:, conversations.seg_position])
    truth = batch.masks.flatten(0, 1)[:, None].float()  # (prompts, 1, 512, 512)
    logits = functional.interpolate(logits, size=truth.shape[-2:], mode="bilinear")
    truth = truth.expand_as(logits)
    inside = logits.sigmoid()
    overlap, total = (inside * truth).sum((-2, -1)), (inside + truth).sum((-2, -1))
    with torch.no_grad():
        found = logits > 0
        both, either = (found * truth).sum((-2, -1)), (found + truth).clamp(max=1).sum((-2, -1))
        iou = (both + 1) / (either + 1)  # 1 where truth and mask are both empty
    return {
        "answer": functional.cross_entropy(predicted.flatten(0, 1), wanted.flatten()),
        "pixels": functional.binary_cross_entropy_with_logits(logits, truth),
        "dice": (1 - (2 * overlap + 1) / (total + 1)).mean(),
        "iou": functional.mse_loss(iou_scores, iou),
    }


@torch.no_grad()
def validate(
    model: Sa2VAModel, processor: Sa2VAProcessor, conversations: Conversations, batches: list[Sample]
) -> dict[str, float]:
    """Mean Dice of each label (1 where truth and mask are both empty) as inference computes its masks.

    Answers are generated; one without [SEG] counts as an empty mask.
    """
    scores = []
    for batch in batches:
        packed = pack_prompts([conversations.questions] * len(batch.tiles), []).on(batch.tiles.device)
        begun = model.read_prompts(
            packed,
            ImageTokens(model.vision.embed_tiles(normalise(batch.tiles, torch.float32)).flatten(0, 1)),
            processor.image_token_id,
        )
        answers = model.answers(
            begun,
            seg_token_id=processor.seg_token_id,
            stopping=Stopping(processor.stop_token_ids, max_new_tokens=16),
        )
        nothing = answers[0].seg_states.new_zeros(model.config.llm_config.hidden_size)
        states = torch.stack(
            [answer.seg_states[0] if len(answer.seg_states) else nothing for answer in answers]
        )
        features = model.encode_images(normalise(batch.image, torch.float32)).of(_image_of_prompt(batch))
        logits = model.decode_masks(features, states).logits
        truth = batch.masks.flatten(0, 1)
        found = upsample_logits(logits, batch.image.shape[-1], *truth.shape[-2:]) > 0
        answered = torch.tensor([len(answer.seg_states) > 0 for answer in answers], device=found.device)
        found &= answered[:, None, None]
        overlap, total = (found & truth).sum((-2, -1)), found.sum((-2, -1)) + truth.sum((-2, -1))
        dice = torch.where(total == 0, 1.0, 2 * overlap / total.clamp(min=1))
        scores.append(dice.reshape(-1, len(LABELS)))
    return dict(zip(LABELS, torch.cat(scores).mean(0).tolist(), strict=True))


def _image_of_prompt(batch: Sample) -> torch.Tensor:
    images = torch.arange(len(batch.image), device=batch.image.device)
    return images.repeat_interleave(len(LABELS))
