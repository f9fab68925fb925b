"""The most frequent answer so far is expected, at first the one that is told."""

from refvessel.inference.drafts import Drafts

STOP = {9}


def test_the_expected_answer_is_the_first_draft_without_its_end():
    assert Drafts([1, 2, 9], STOP).likeliest() == [1, 2]
    assert Drafts([1, 2], STOP).likeliest() == [1, 2]


def test_the_draft_is_the_most_frequent_answer_so_far():
    drafts = Drafts([1, 2, 9], STOP)
    drafts.observe([[3, 9], [3, 9], [4, 5, 9]])
    assert drafts.likeliest() == [3]
    drafts.observe([[4, 5, 9], [4, 5, 9]])
    assert drafts.likeliest() == [4, 5]


def test_of_equally_frequent_answers_the_expected_one_stays():
    drafts = Drafts([1, 2, 9], STOP)
    drafts.observe([[3, 9], [1, 2, 9]])
    assert drafts.likeliest() == [1, 2]


def test_an_answer_cut_off_at_its_longest_counts_whole():
    drafts = Drafts([1, 9], STOP)
    drafts.observe([[5, 6, 7]])
    assert drafts.likeliest() == [5, 6, 7]
