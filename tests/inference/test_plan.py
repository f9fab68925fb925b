"""Shards hold every image once, whatever the order, and cost about the same."""

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refvessel.errors import UserError
from refvessel.inference.plan import parse_shard, plan_shard


@pytest.fixture(scope="module")
def expressions(expression):
    """A function that makes expressions about images of these sizes."""

    def make(sizes, per_image):
        return [
            expression(
                sent_id=image * 10 + number,
                height=height,
                width=width,
                image_path=Path(f"image{image:03d}.png"),
            )
            for image, (width, height) in enumerate(sizes)
            for number in range(per_image)
        ]

    return make


def layout(width, height):
    """Of an image that is the longer, the more pixels it has."""
    return (((height // 28, width // 28),),)


SIZES = st.lists(st.tuples(st.integers(100, 1500), st.integers(100, 1500)), min_size=1, max_size=30)


@given(sizes=SIZES, per_image=st.integers(1, 4), of=st.integers(1, 7), seed=st.integers())
def test_every_expression_is_in_exactly_one_shard_whatever_the_order(expressions, sizes, per_image, of, seed):
    everything = expressions(sizes, per_image)
    shuffled = random.Random(seed).sample(everything, len(everything))
    planned = [plan_shard(everything, shard, of, layout) for shard in range(1, of + 1)]
    assert planned == [plan_shard(shuffled, shard, of, layout) for shard in range(1, of + 1)]
    sent_ids = [each.sent_id for shard in planned for task in shard for each in task.expressions]
    assert sorted(sent_ids) == sorted(each.sent_id for each in everything)


@given(sizes=SIZES, of=st.integers(1, 7))
def test_no_shard_costs_more_than_another_by_more_than_one_image(expressions, sizes, of):
    planned = [plan_shard(expressions(sizes, 2), shard, of, layout) for shard in range(1, of + 1)]
    costs = [sum(task.cost for task in shard) for shard in planned]
    largest = max(task.cost for shard in planned for task in shard)
    assert max(costs) - min(costs) <= largest + 1e-9


def test_a_shard_is_written_as_number_and_count():
    assert parse_shard("2/8") == (2, 8)


@pytest.mark.parametrize("text", ["0/2", "3/2", "1", "1/2/3", "a/b", "-1/2"])
def test_another_form_of_shard_is_refused(text):
    with pytest.raises(UserError, match="not of the form"):
        parse_shard(text)
