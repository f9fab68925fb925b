import pytest
import torch
from demo_checkpoint import network, objective
from demo_checkpoint.objective import ANSWER, NAMING_ANSWER, Conversations, losses, validate
from demo_checkpoint.samples import LABELS, Angiograms
from demo_checkpoint.train import PHRASES, new_model, train_words
from torch.utils.data import DataLoader

from refvessel.model.decoding import Stopping
from refvessel.model.image_tokens import ImageTokens
from refvessel.model.normalisation import normalise
from refvessel.model.packing import pack_prompts
from refvessel.settings.inference_section import Inference


@pytest.fixture(scope="module")
def setting():
    """A model of a sixteenth of the pixels, its questions, and one batch of two angiograms."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(network._GROUNDING, "image_size", 256)
        torch.manual_seed(3)
        processor, tokenizer, model = new_model(train_words())
    conversations = Conversations(processor, tokenizer, PHRASES[0], NAMING_ANSWER)
    (batch,) = DataLoader(Angiograms(processor, seed=7, first_patient=0, length=2), batch_size=2)
    return model, processor, conversations, batch


def test_the_question_is_the_evaluations():
    assert Inference().question == objective.QUESTION


def test_both_rows_answer_at_the_same_place_after_their_own_question(setting):
    _, processor, _, _ = setting
    tokenizer = processor._tokenizer
    for answer in (ANSWER, NAMING_ANSWER):
        conversations = Conversations(processor, tokenizer, PHRASES[1], answer)
        assert (conversations.input_ids[:, conversations.seg_position] == processor.seg_token_id).all()
        for row, phrase in enumerate(PHRASES[1]):
            read = conversations.input_ids[row][conversations.attention_mask[row] == 1].tolist()
            question = processor.prompt_ids(
                objective.QUESTION.format(phrase=phrase), processor.layout(448, 448)
            )
            assert read == question + tokenizer.encode(answer.format(phrase=phrase))
            labels = conversations.answer_labels[row]
            assert tokenizer.decode(labels[labels >= 0]) == answer.format(phrase=phrase)


def test_every_part_of_the_model_that_images_use_receives_a_gradient(setting):
    model, processor, conversations, batch = setting
    sum(losses(model, processor, conversations, batch).values()).backward()
    without = {name for name, parameter in model.named_parameters() if parameter.grad is None}
    unused = (
        "memory",
        "mask_downsample",
        "object_pointer",
        "mask_embed",
        "point_embed",
        "obj_score",
        "mask_decoder",
    )
    assert all(any(part in name for part in unused) for name in without), without
    for part in ("vision_model", "multi_modal_projector", "language_model", "text_hidden_fcs"):
        assert not [name for name in without if name.startswith(part)]


def test_a_few_steps_on_one_batch_lower_each_term(setting):
    model, processor, conversations, batch = setting
    optimiser = torch.optim.AdamW(model.parameters(), lr=2e-3)
    history = []

    def lower(name):
        return history[-1][name] < 0.7 * history[0][name]

    for _ in range(12):
        terms = losses(model, processor, conversations, batch)
        history.append({name: term.item() for name, term in terms.items()})
        if lower("answer") and lower("pixels"):
            return
        optimiser.zero_grad()
        sum(terms.values()).backward()
        optimiser.step()
    pytest.fail(f"the terms went from {history[0]} to {history[-1]}")


def test_a_model_that_never_says_seg_scores_as_empty_masks(setting, monkeypatch):
    model, processor, conversations, batch = setting
    monkeypatch.setattr(processor, "seg_token_id", -1)
    batch = batch._replace(masks=torch.zeros_like(batch.masks))
    assert validate(model, processor, conversations, [batch]) == dict.fromkeys(LABELS, 1.0)
    batch = batch._replace(masks=torch.ones_like(batch.masks))
    assert validate(model, processor, conversations, [batch]) == dict.fromkeys(LABELS, 0.0)


def test_training_reads_the_answer_as_inference_generates_it(setting):
    """The state that a generated [SEG] leaves equals the one that training takes from the whole sequence."""
    model, processor, conversations, batch = setting
    with torch.no_grad():
        embeds, attention_mask = conversations.embed(model, processor, batch.tiles)
        positions = (attention_mask.cumsum(-1) - 1).clamp(min=0)
        hidden = model.language_model.model(
            inputs_embeds=embeds, attention_mask=attention_mask, position_ids=positions
        ).last_hidden_state[:, conversations.seg_position]
        length = conversations.seg_position  # let it read up to [SEG], and force that to be said next
        forced = model.language_model.lm_head.weight.clone()
        model.language_model.lm_head.weight.zero_()
        direction = model.language_model.model(
            inputs_embeds=embeds[:, :length],
            attention_mask=attention_mask[:, :length],
            position_ids=positions[:, :length],
        ).last_hidden_state[:, -1]
        model.language_model.lm_head.weight[processor.seg_token_id] = direction.mean(0)
        rows = zip(conversations.input_ids.tolist(), conversations.attention_mask.tolist(), strict=True)
        begun = [[each for each, kept in zip(ids[:length], mask, strict=False) if kept] for ids, mask in rows]
        read = model.read_prompts(
            pack_prompts([begun] * len(batch.tiles), []),
            ImageTokens(model.vision.embed_tiles(normalise(batch.tiles, torch.float32)).flatten(0, 1)),
            processor.image_token_id,
        )
        stopping = Stopping((), max_new_tokens=2)
        answers = model.answers(read, seg_token_id=processor.seg_token_id, stopping=stopping)
        model.language_model.lm_head.weight.copy_(forced)
    states = torch.stack([answer.seg_states[0] for answer in answers])
    torch.testing.assert_close(states, hidden, rtol=1e-4, atol=1e-4)
