"""Packed rows: every text whole, once, and with its own positions."""

import numpy as np
import pytest

from puzzlebox.data.packing import EncodedText, batch_indices, pack, take
from puzzlebox.errors import UsageError


def written(*tokens: int, prompt: int = 1) -> EncodedText:
    return EncodedText(list(tokens), [i >= prompt for i in range(len(tokens))])


def test_two_texts_share_a_row_by_hand():
    rows = pack([written(1, 2, 3), written(4, 5, 6, 7, prompt=2)], 6, pad_id=9)
    assert rows.observation.tolist() == [[4, 5, 6, 1, 2, 9]]
    assert rows.action.tolist() == [[5, 6, 7, 2, 3, 9]]
    assert rows.mask.tolist() == [[False, True, True, True, True, False]]
    assert rows.positions.tolist() == [[0, 1, 2, 0, 1, 0]]
    assert rows.segments.tolist() == [[1, 1, 1, 2, 2, 0]]


def test_without_sharing_every_text_has_its_own_row_in_the_order_given():
    rows = pack([written(1, 2), written(3, 4, 5)], 3, pad_id=0, share=False)
    assert rows.observation.tolist() == [[1, 0, 0], [3, 4, 0]]
    assert rows.segments.tolist() == [[1, 0, 0], [1, 1, 0]]


def test_longest_first_fills_rows_well():
    lengths = [5, 4, 6, 3, 2]  # tokens to predict: 20 in all, which two rows of 10 hold exactly
    rows = pack([written(*range(n + 1)) for n in lengths], 10, pad_id=0)
    assert len(rows.mask) == 2
    assert (rows.segments > 0).all()


@pytest.mark.parametrize("share", [True, False])
def test_every_text_is_there_once(share):
    generator = np.random.default_rng(0)
    texts = [written(*generator.integers(1, 99, generator.integers(2, 18))) for _ in range(60)]
    rows = pack(texts, 20, pad_id=0, share=share)
    found = []
    for row in range(len(rows.mask)):
        for segment in range(1, rows.segments[row].max() + 1):
            places = np.flatnonzero(rows.segments[row] == segment)
            assert rows.positions[row, places].tolist() == list(range(len(places)))
            assert rows.mask[row, places].all()
            found.append([*rows.observation[row, places].tolist(), int(rows.action[row, places[-1]])])
    assert sorted(found) == sorted(text.tokens for text in texts)
    assert not rows.mask[rows.segments == 0].any()


def test_texts_that_do_not_fit_or_teach_nothing_are_named():
    with pytest.raises(UsageError, match="text 2 has 6 tokens and a row takes 5; raise --length"):
        pack([written(1, 2), written(1, 2, 3, 4, 5, 6)], 4, 0)
    with pytest.raises(UsageError, match="text 1 has nothing to learn"):
        pack([EncodedText([1, 2], [True, False])], 4, 0)


def test_take():
    rows = pack([written(1, 2), written(3, 4)], 1, 0, share=False)
    assert take(rows, np.array([1, 1, 0])).observation.tolist() == [[3], [3], [1]]


def test_a_pass_shows_every_item_once_and_passes_differ():
    batches = [batch_indices(10, 4, i, [7]).tolist() for i in range(5)]  # two passes
    drawn = [item for batch in batches for item in batch]
    assert sorted(drawn[:10]) == sorted(drawn[10:]) == list(range(10))
    assert drawn[:10] != drawn[10:]
    assert batch_indices(10, 4, 3, [7]).tolist() == batches[3]
    assert batch_indices(10, 4, 3, [8]).tolist() != batches[3]


def test_a_batch_may_be_larger_than_the_data():
    drawn = batch_indices(3, 7, 0, [0]).tolist()
    assert sorted(drawn[:3]) == sorted(drawn[3:6]) == [0, 1, 2]
