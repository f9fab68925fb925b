"""Answers to the question for a grounded caption, as the official inference writes them."""

import json
from pathlib import Path

import numpy as np
import pytest

from refvessel.answer_status import Status
from refvessel.predictions.captions import CAPTION_QUESTION, parse_caption, write_captions
from refvessel.predictions.prediction import Prediction
from refvessel.rle import empty, encode

DATA = Path(__file__).parents[1] / "data"
ANSWERS = json.loads((DATA / "gcg/answers.json").read_text("utf-8"))


@pytest.mark.parametrize("case", ANSWERS, ids=lambda case: repr(case["answer"]))
def test_an_answer_is_read_as_the_official_inference_reads_it(case):
    assert parse_caption(case["answer"]) == (case["caption"], case["phrases"])


def test_the_question_is_the_official_one_with_its_five_blanks():
    questions = json.loads((DATA / "official_scores/questions.json").read_text("utf-8"))
    assert questions["evaluation"]["gcg"]["text"] == CAPTION_QUESTION


def prediction(image_id: str, answer: str, masks: list, error: str | None = None) -> Prediction:
    return Prediction(
        image_id=image_id,
        ref_id=1,
        sent_id=1,
        phrase="",
        prompt=CAPTION_QUESTION,
        answer=answer,
        num_seg=len(masks),
        status=Status.FAILED if error else Status.OK,
        error=error,
        mask=empty(4, 4),
        masks=masks,
        score=None,
        seconds=0.0,
    )


def test_each_image_has_a_file_of_its_own_in_the_official_form_and_a_failure_says_so(tmp_path):
    masks = [encode(np.eye(4)), encode(np.ones((4, 4)))]
    answer = "<p> A vessel </p> [SEG] and <p> a wire </p> [SEG].<|im_end|>"
    write_captions([prediction("a", answer, masks), prediction("b", "", [], "out of memory")], tmp_path)
    first, second = (json.loads((tmp_path / f"{name}.json").read_text("utf-8")) for name in "ab")
    assert first == {
        "image_id": "a",
        "caption": "A vessel and a wire .",
        "phrases": ["A vessel", "a wire"],
        "pred_masks": masks,
    }
    assert second == {
        "image_id": "b",
        "caption": "",
        "phrases": [],
        "pred_masks": [],
        "error": "out of memory",
    }
