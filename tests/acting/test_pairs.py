"""Where preferences come from: rows by hand, pairs of files and rankings, pairs that a verifier makes of samples."""

import json

import numpy as np
import pytest

from puzzlebox.acting.pairs import Memory, check_source, find_labels, find_pairs, sample_completions
from puzzlebox.data.language_model import LanguageModel
from puzzlebox.data.preferences import Pair, answer_rows, longest_answer, pair_rows
from puzzlebox.data.text_worlds import make_text
from puzzlebox.envs.text import make_task
from puzzlebox.errors import PuzzleboxError, UsageError
from puzzlebox.runs.build import load_model
from puzzlebox.types import Example

START = load_model("new,layers=1,width=32,heads=2,kv_heads=2,hidden=64,context=32")
EOS = START.tokenizer.eos_id
PAD = START.tokenizer.pad_id


def file_of(path, *rows):
    path.write_text("\n".join(map(json.dumps, rows)))
    return make_text(str(path))


def ids(text):
    return START.tokenizer.encode(text)


class Constant:
    """A task where everything earns the same."""

    chat, max_tokens = False, 3

    def examples(self, split, count, seed):
        return [Example("=", "a", "a")] * count

    def reward(self, example, completion):
        return 1.0

    def correct(self, example, completion):
        return True


def test_rows_are_padded_on_the_right_and_count_the_completion_alone():
    rows = answer_rows([[1, 2, 3], [4]], [[5, 6], [7]], START)
    assert rows.observation.tolist() == [[1, 2, 3, 5, 6, PAD, PAD, PAD], [4, 7, *[PAD] * 6]]
    assert rows.action.tolist() == [[2, 3, 5, 6, PAD, PAD, PAD, PAD], [7, *[PAD] * 7]]
    assert rows.mask.astype(int).tolist() == [[0, 0, 1, 1, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0, 0, 0]]
    assert longest_answer(rows) == 8


def test_chosen_completions_come_first():
    pairs = [Pair([1], [2, 3], [4]), Pair([5], [6], [7])]
    rows = pair_rows(pairs, START)
    assert [row[mask].tolist() for row, mask in zip(rows.action, rows.mask, strict=True)] == [[2, 3], [6], [4], [7]]
    assert rows.observation[:, 0].tolist() == [1, 5, 1, 5]


def test_what_the_context_cannot_hold_is_refused():
    with pytest.raises(UsageError, match=r"34 tokens.*context 32"):
        answer_rows([[1] * 30], [[2] * 4], START)


def test_a_ranking_gives_all_its_pairs_and_ties_none(tmp_path):
    task = file_of(tmp_path / "r.jsonl", {"prompt": "Q", "completions": ["D", "C", "A", "B"], "ranking": [1, 2, 3, 3]})
    pairs = find_pairs(task, START, "train", 1, 2, 1.0)
    named = [(START.decode(pair.chosen[:-1]), START.decode(pair.rejected[:-1])) for pair in pairs]
    assert named == [("D", "C"), ("D", "A"), ("D", "B"), ("C", "A"), ("C", "B")]
    assert {pair.chosen[-1] for pair in pairs} == {EOS} == {pair.rejected[-1] for pair in pairs}


def test_a_file_keeps_its_margins_and_becomes_labels(tmp_path):
    task = file_of(tmp_path / "p.jsonl", {"prompt": "12*13=", "chosen": "156", "rejected": "150", "margin": 0.8})
    (pair,) = find_pairs(task, START, "train", 1, 2, 1.0)
    assert pair == Pair(ids("12*13="), [*ids("156"), EOS], [*ids("150"), EOS], 0.8)
    good, bad = find_labels(task, START, "train", 1, 2, 1.0)
    assert (good.completion, good.wanted, bad.completion, bad.wanted) == (pair.chosen, True, pair.rejected, False)


def test_labels_of_a_file(tmp_path):
    task = file_of(tmp_path / "l.jsonl", {"prompt": "Q", "completion": "yes", "label": False})
    (label,) = find_labels(task, START, "train", 1, 2, 1.0)
    assert label == (ids("Q"), [*ids("yes"), EOS], False)


def test_of_messages_the_last_ones_words_are_the_completion(tmp_path):
    template = (
        "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}{% if add_generation_prompt %}<assistant>"
        "{% endif %}"
    )
    model = LanguageModel(START.decoder, START.tokenizer.with_chat_template(template))
    say = lambda role, words: [{"role": role, "content": words}]  # noqa: E731
    row = {"prompt": say("user", "2+2"), "chosen": say("assistant", "4"), "rejected": say("assistant", "5")}
    task = file_of(tmp_path / "c.jsonl", row)
    (pair,) = find_pairs(task, model, "train", 1, 2, 1.0)
    assert pair == Pair(ids("<user>2+2<assistant>"), [*ids("4"), EOS], [*ids("5"), EOS])
    turns = say("user", "1+1") + say("assistant", "2") + say("user", "2+2")  # a conversation's answer may be its words
    (example,) = file_of(tmp_path / "m.jsonl", {"messages": turns + say("assistant", "4")}).examples("train", 1, 0)
    read = ids("<user>1+1<assistant>2<user>2+2<assistant>")
    assert model.encode_answered(example.prompt, example.completion) == (read, [*ids("4"), EOS])
    assert model.encode_answered(turns[:1], [*turns[1:], *say("assistant", "4")]) == (read, [*ids("4"), EOS])


def test_a_verifier_pairs_the_best_sample_with_the_worst():
    task = make_task("tiny")
    sampled = sample_completions(task, START, "train", 3, 7, 1.0, seed=4, demonstrations=True)
    pairs = find_pairs(task, START, "train", 3, 7, 1.0, seed=4, demonstrations=True)
    expected = []
    for problem in sampled:
        assert len(problem.completions) == 8  # seven samples and the demonstration, which is the best there is
        assert [*ids("aaa"), EOS] == problem.completions[0]
        scores = [task.score(START.decode(c)) for c in problem.completions]
        assert scores == problem.rewards == sorted(scores, reverse=True)
        best, worst = problem.completions[:4], problem.completions[:3:-1]
        gaps = [high - low for high, low in zip(scores[:4], scores[:3:-1], strict=True)]
        expected += [Pair(problem.prompt, b, w, g) for b, w, g in zip(best, worst, gaps, strict=True) if g > 0]
    assert pairs == expected
    assert len(pairs) >= 3


def test_the_same_seed_samples_the_same():
    task = make_task("tiny")
    draw = lambda seed: sample_completions(task, START, "train", 3, 7, 1.0, seed)  # noqa: E731
    assert draw(1) == draw(1)
    assert draw(1) != draw(2)


def test_samples_that_all_earn_the_same_teach_nothing():
    with pytest.raises(PuzzleboxError, match="no two of the starting model's 4 completions differ"):
        find_pairs(Constant(), START, "train", 2, 4, 1.0)


def test_a_file_without_verdicts_is_refused(tmp_path):
    task = file_of(tmp_path / "p.jsonl", {"prompt": "Q"})
    with pytest.raises(UsageError, match=r"no column 'answer'.*or give a file of preference or ranking data"):
        check_source(task, ("preference", "ranking"))


def test_memory_looks_once():
    memory, looked = Memory(), []
    for name in ("a", "b", "a"):
        assert memory.get(name, lambda: looked.append(name) or np.ones(1)) is not None  # noqa: B023
    assert looked == ["a", "b"]
    assert memory == Memory() and hash(memory) == hash(Memory())
