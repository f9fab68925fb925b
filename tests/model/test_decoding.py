"""Packed and drafted answers are those of transformers' plain greedy generation, one prompt at a time."""

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import Qwen2Config, Qwen2ForCausalLM

from refvessel.model.decoding import Stopping, complete, prefill
from refvessel.model.language import LanguageModel
from refvessel.model.packing import pack_prompts

VOCABULARY = 40
TOKENS = st.lists(st.integers(0, VOCABULARY - 1), min_size=1, max_size=9)
PROMPTS = st.lists(st.tuples(TOKENS, st.lists(TOKENS, min_size=1, max_size=3)), min_size=1, max_size=3)


@pytest.fixture(scope="module")
def language_model():
    """Random weights, large enough that answers wander."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    model = Qwen2ForCausalLM(Qwen2Config(vocab_size=VOCABULARY, num_key_value_heads=2, **sizes)).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" not in name:
                parameter.normal_(std=0.5)
    return model


def answers(model, prompts, draft, stop=(), longest=12, seg=5, multiple=1):
    packed = pack_prompts(prompts, draft, multiple=multiple)
    ours = LanguageModel(model)
    prefilled = prefill(ours, ours.embed(packed.input_ids), packed)
    return complete(ours, prefilled, seg_token_id=seg, stopping=Stopping(stop, longest))


def generated(model, prompt, longest=12):
    """Token ids by transformers' own generation, without a stop."""
    ids = torch.tensor([prompt])
    settings = {"do_sample": False, "max_new_tokens": longest, "eos_token_id": None, "pad_token_id": 0}
    output = model.generate(ids, attention_mask=torch.ones_like(ids), **settings)
    return output[0, len(prompt) :].tolist()


def seg_states(model, prompt, answer, seg):
    """The states of each [SEG] that was read, from one pass over prompt and answer."""
    ids = torch.tensor([[*prompt, *answer[:-1]]])
    hidden = model.model(input_ids=ids).last_hidden_state[0, len(prompt) :]
    return hidden[[position for position, token in enumerate(answer[:-1]) if token == seg]]


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(images=PROMPTS, draft=st.lists(st.integers(0, VOCABULARY - 1), max_size=5), data=st.data())
@torch.inference_mode()
def test_answers_and_states_are_those_of_plain_greedy_decoding(language_model, images, draft, data):
    prompts = [[[*beginning, *rest] for rest in rests] for beginning, rests in images]
    flat = [prompt for mine in prompts for prompt in mine]
    expected = [generated(language_model, prompt) for prompt in flat]
    drafted = data.draw(st.sampled_from([draft, *(answer[:4] for answer in expected)]))
    seg = expected[0][1]
    found = answers(language_model, prompts, drafted, seg=seg, multiple=data.draw(st.sampled_from([1, 16])))
    for prompt, answer, tokens in zip(flat, found, expected, strict=True):
        assert answer.token_ids == tokens
        wanted = seg_states(language_model, prompt, tokens, seg)
        torch.testing.assert_close(answer.seg_states, wanted, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("agreeing", [0, 1, 2, 3])
@torch.inference_mode()
def test_an_answer_ends_at_a_stop_token_wherever_the_draft_disagrees(language_model, agreeing):
    prompt = [3, 9, 4]
    whole = generated(language_model, prompt)
    stop = next(
        token for position, token in enumerate(whole) if position >= 2 and token not in whole[:position]
    )
    (answer,) = answers(language_model, [[prompt]], whole[:agreeing], stop={stop})
    assert answer.token_ids == whole[: whole.index(stop) + 1]


@pytest.mark.parametrize("longest", [1, 2, 3])
@pytest.mark.parametrize("drafted", [True, False])
@torch.inference_mode()
def test_a_seg_in_the_last_place_is_never_read_and_has_no_state(language_model, longest, drafted):
    prompt = [7, 1]
    whole = generated(language_model, prompt)
    seg = whole[longest - 1]
    (answer,) = answers(language_model, [[prompt]], whole[:5] if drafted else [], longest=longest, seg=seg)
    assert answer.token_ids == whole[:longest]
    assert len(answer.seg_states) == whole[: longest - 1].count(seg)


def test_prompts_of_an_image_share_their_beginning_once():
    packed = pack_prompts([[[1, 2, 3, 4], [1, 2, 5]], [[9, 8]]], [30, 31])
    assert packed.input_ids.tolist() == [[1, 2, 3, 4, 30, 31, 5, 30, 31], [9, 8, 30, 31, 0, 0, 0, 0, 0]]
    assert packed.positions.tolist()[0] == [0, 1, 2, 3, 4, 5, 2, 3, 4]
    assert packed.choices.tolist() == [[3, 4, 5], [6, 7, 8], [1, 2, 3]]
    assert packed.read_by(1, 1).tolist() == [0, 1, 6, 7]


def test_equal_prompts_each_keep_a_token_to_choose_from():
    packed = pack_prompts([[[1, 2], [1, 2]]], [])
    assert packed.input_ids.tolist() == [[1, 2, 2]]
    assert packed.choices.tolist() == [[1], [2]]
