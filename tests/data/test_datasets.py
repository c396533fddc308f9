"""Data sets: every kind of row in every kind of file, and one exact sentence for everything that can be wrong."""

import json

import pytest

from puzzlebox.data.datasets import kind_of, ranking_pairs, read, read_text
from puzzlebox.errors import UsageError

USER = {"role": "user", "content": "2+2?"}
FOUR = {"role": "assistant", "content": "4"}
FIVE = {"role": "assistant", "content": "5"}


def jsonl(path, *rows):
    path.write_text(
        "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows), encoding="utf-8"
    )
    return path


def one(tmp_path, kind, row):
    (found,) = read(jsonl(tmp_path / "data.jsonl", row), kind).rows
    return found


def error(path, kind="completion", **options):
    with pytest.raises(UsageError) as caught:
        read(path, kind, **options)
    text = str(caught.value)
    assert "\n" not in text
    return text


def row_error(tmp_path, kind, row):
    """The sentence about the second row, without the file's name."""
    good = {
        "text": {"text": "a", "messages": None},
        "prompt": {"prompt": "a"},
        "completion": {"prompt": "a", "completion": "b"},
        "preference": {"prompt": "a", "chosen": "b", "rejected": "c"},
        "label": {"prompt": "a", "completion": "b", "label": True},
        "ranking": {"prompt": "a", "completions": ["b", "c"]},
    }[kind]
    path = jsonl(tmp_path / "data.jsonl", good, row)
    assert len(read(path, kind, skip_bad=True).rows) == 1
    return (
        error(path, kind)
        .removeprefix(f"{path}, ")
        .removesuffix("; mend the row, or leave such rows out with --skip-bad")
    )


def test_each_kind_as_text(tmp_path):
    assert one(tmp_path, "text", {"text": "abc"}).text == "abc"
    row = one(tmp_path, "prompt", {"prompt": "2+2?", "answer": "4", "completion": "4"})
    assert row.prompt == "2+2?" and row.completion is None and row.data == {"answer": "4", "completion": "4"}
    assert row.source == f"{tmp_path / 'data.jsonl'}, line 1"
    row = one(tmp_path, "completion", {"prompt": "2+2?", "completion": " 4"})
    assert (row.prompt, row.completion, row.data) == ("2+2?", " 4", {})
    row = one(tmp_path, "preference", {"prompt": "2+2?", "chosen": "4", "rejected": "5", "margin": 2})
    assert (row.prompt, row.chosen, row.rejected, row.margin) == ("2+2?", "4", "5", 2.0)
    assert one(tmp_path, "label", {"prompt": "p", "completion": "c", "label": 0}).label is False
    row = one(tmp_path, "ranking", {"prompt": "p", "completions": ["A", "B", "C", "D"], "ranking": [3, 4, 2, 1]})
    assert row.completions == ("D", "C", "A", "B") and row.places == (1, 2, 3, 4)
    assert one(tmp_path, "ranking", {"prompt": "p", "completions": ["A", "B"]}).places == (1, 2)


def test_each_kind_as_conversation(tmp_path):
    assert one(tmp_path, "text", {"messages": [USER, FOUR]}).text == (USER, FOUR)
    assert one(tmp_path, "prompt", {"prompt": [USER]}).prompt == (USER,)
    row = one(tmp_path, "completion", {"prompt": [USER], "completion": [FOUR]})
    assert (row.prompt, row.completion) == ((USER,), (FOUR,))
    row = one(tmp_path, "preference", {"chosen": [USER, FOUR], "rejected": [USER, FIVE]})
    assert (row.prompt, row.chosen, row.rejected) == ((USER,), (FOUR,), (FIVE,))
    repeated = one(tmp_path, "preference", {"prompt": "2+2?", "chosen": [USER, FOUR], "rejected": [USER, FIVE]})
    assert repeated[1:-1] == row[1:-1]
    row = one(tmp_path, "ranking", {"prompt": [USER], "completions": [[FIVE], [FOUR]], "ranking": [2, 1]})
    assert row.completions == ((FOUR,), (FIVE,))
    call = {"role": "assistant", "content": None, "tool_calls": [{"name": "sum"}]}
    assert one(tmp_path, "text", {"messages": [USER, call]}).text[1]["content"] == ""


@pytest.mark.parametrize(
    ("chosen", "rejected", "expected"),
    [
        ("Q: why?\n\nA: Yes.", "Q: why?\n\nA: Yellow.", ("Q: why?\n\nA:", " Yes.", " Yellow.")),
        ("Say: a b c", "Say: a b d", ("Say: a b", " c", " d")),
        ("one  two", "one  three", ("one", "  two", "  three")),
    ],
)
def test_a_common_beginning_is_cut_between_words(tmp_path, chosen, rejected, expected):
    row = one(tmp_path, "preference", {"chosen": chosen, "rejected": rejected})
    assert (row.prompt, row.chosen, row.rejected) == expected


def test_a_ranking_gives_every_pair_but_ties(tmp_path):
    row = one(tmp_path, "ranking", {"prompt": "p", "completions": ["A", "B", "C", "D"], "ranking": [3, 4, 2, 1]})
    found = [(pair.chosen, pair.rejected) for pair in ranking_pairs(row)]
    assert found == [("D", "C"), ("D", "A"), ("D", "B"), ("C", "A"), ("C", "B"), ("A", "B")]
    tied = one(tmp_path, "ranking", {"prompt": "p", "completions": ["A", "B", "C"], "ranking": [1, 2, 1]})
    assert [(pair.prompt, pair.chosen, pair.rejected) for pair in ranking_pairs(tied)] == [
        ("p", "A", "B"),
        ("p", "C", "B"),
    ]


@pytest.mark.parametrize(
    ("kind", "row", "message"),
    [
        ("text", {"text": 5}, "text: a text was expected, found 5"),
        ("text", {"text": None}, "text: a text was expected, found nothing"),
        ("text", {"text": "a\ud800"}, "text: Unicode was expected, found half a surrogate pair at character 1"),
        ("completion", {"prompt": "a"}, "completion: a text or a list of messages was expected, found nothing"),
        (
            "completion",
            {"prompt": "a", "completion": " \n"},
            "completion: a text or a list of messages was expected, it is empty",
        ),
        (
            "completion",
            {"prompt": "a", "completion": [FOUR]},
            "completion: a text was expected, as in 'prompt', found a list of messages",
        ),
        (
            "completion",
            {"prompt": [USER], "completion": "4"},
            "completion: a list of messages was expected, as in 'prompt', found a text",
        ),
        ("completion", {"prompt": [USER], "completion": []}, "completion: messages were expected, the list is empty"),
        (
            "completion",
            {"prompt": [USER], "completion": [USER]},
            "completion: the last message was expected to be the assistant's, found the role 'user'",
        ),
        (
            "completion",
            {"prompt": [USER], "completion": [{"role": "assistant", "content": ""}]},
            "completion: message 1, of the assistant, is empty",
        ),
        (
            "prompt",
            {"prompt": [USER, FOUR]},
            "prompt: the last message was expected to be the user's, found the role 'assistant'",
        ),
        ("prompt", {"prompt": [USER, "x"]}, "prompt: message 2 is not an object with role and content: 'x'"),
        ("prompt", {"prompt": [{"content": "x"}]}, "prompt: message 1 needs a text as 'role', found nothing"),
        (
            "prompt",
            {"prompt": [{"role": "user", "content": 7}]},
            "prompt: message 1 needs a text as 'content', found 7",
        ),
        (
            "preference",
            {"chosen": "a b", "rejected": "a c"},
            "prompt: a text or a list of messages was expected, found nothing",
        ),
        (
            "preference",
            {"prompt": "a", "chosen": "b", "rejected": "b"},
            "rejected: a text other than 'chosen' was expected, both are 'b'",
        ),
        (
            "preference",
            {"prompt": "a", "chosen": "b", "rejected": "c", "margin": "x"},
            "margin: a number was expected, found 'x'",
        ),
        (
            "preference",
            '{"prompt": "a", "chosen": "b", "rejected": "c", "margin": NaN}',
            "margin: a number was expected, found nan",
        ),
        (
            "label",
            {"prompt": "a", "completion": "b", "label": "good"},
            "label: true or false was expected, found 'good'",
        ),
        ("label", {"prompt": "a", "completion": "b"}, "label: true or false was expected, found nothing"),
        (
            "ranking",
            {"prompt": "a", "completions": ["b"]},
            "completions: a list of at least two was expected, found ['b']",
        ),
        (
            "ranking",
            {"prompt": "a", "completions": ["b", "c"], "ranking": [1]},
            "ranking: 2 numbers, 1 for the best, were expected, found [1]",
        ),
        ("prompt", "[1]", "a JSON object was expected, found [1]"),
        (
            "prompt",
            '{"prompt": "a"',
            "a JSON object was expected, found '{\"prompt\": \"a\"' (column 15: Expecting ',' delimiter)",
        ),
        (
            "prompt",
            {"prompt": ["x" * 100]},
            f"prompt: message 1 is not an object with role and content: '{'x' * 56}...",
        ),
    ],
)
def test_a_broken_row_is_named(tmp_path, kind, row, message):
    found = row_error(tmp_path, kind, row)
    assert found.startswith("line 2")
    assert found.removeprefix("line 2: ").removeprefix("line 2, column '").replace("': ", ": ", 1) == message


def test_a_conversation_without_the_assistant_teaches_nothing(tmp_path):
    path = jsonl(tmp_path / "data.jsonl", {"messages": [USER]})
    assert "column 'messages': a message of the role 'assistant' was expected, there is none to learn" in error(
        path, "text"
    )


@pytest.mark.parametrize(
    ("chosen", "rejected", "message"),
    [
        ("Yes", "No", "the same beginning as in 'rejected' was expected; or add a column 'prompt'"),
        ("Yes", "Yellow", "the same beginning as in 'rejected' was expected; or add a column 'prompt'"),
        ([USER, FOUR], [USER, FOUR], "an end other than that of 'chosen' was expected"),
        ([USER, FOUR], "5", "a text or messages like those of 'chosen' were expected"),
    ],
)
def test_pairs_without_prompt_must_begin_alike(tmp_path, chosen, rejected, message):
    assert message in error(jsonl(tmp_path / "data.jsonl", {"chosen": chosen, "rejected": rejected}), "preference")


def test_broken_rows_are_counted_with_skip_bad(tmp_path):
    good = {"prompt": "a", "completion": "b"}
    path = jsonl(tmp_path / "data.jsonl", good, "{broken", "", {"prompt": "a", "completion": ""}, good)
    data = read(path, "completion", skip_bad=True)
    assert [row.source for row in data.rows] == [f"{path}, line 1", f"{path}, line 5"]
    assert len(data.skipped) == 2 and "line 2" in data.skipped[0] and "line 4" in data.skipped[1]
    assert read(jsonl(path, good), "completion").skipped == ()
    assert "all 1 rows" in error(jsonl(path, {"prompt": "a", "completion": ""}), skip_bad=True)
    assert "holds no rows that can be read; the first:" in error(jsonl(path, "{broken"), skip_bad=True)


def test_missing_columns_say_what_is_there(tmp_path):
    path = jsonl(tmp_path / "data.jsonl", {"prompt": "a", "completion": "b", "id": 1})
    assert error(path, "preference") == (
        f"{path} lacks columns: preference data has prompt, chosen, rejected or chosen, rejected; "
        "there are prompt, completion, id, which is completion data"
    )
    path = jsonl(tmp_path / "data.jsonl", {"question": "a"})
    assert error(path, ("completion", "text")) == (
        f"{path} lacks columns: completion or text data has prompt, completion or text or messages; there are question"
    )


def test_columns_of_no_kind_say_all_that_would_do(tmp_path):
    found = error(jsonl(tmp_path / "data.jsonl", {"question": "a", "answer": "b"}), ("label", "completion", "text"))
    assert found.endswith(
        "lacks columns: there are question, answer, and needed are prompt, completion, label; or prompt, completion; "
        "or text; or messages"
    )


def test_of_several_kinds_the_first_that_fits_is_read(tmp_path):
    path = jsonl(tmp_path / "data.jsonl", {"prompt": "a", "messages": [USER, FOUR]})
    assert read(path, ("completion", "text")).kind == "text"
    assert read(path, ("completion", "prompt", "text")).kind == "prompt"
    assert read(path).kind == "text" and read(jsonl(path, {"prompt": "a", "completion": "b"})).kind == "completion"
    assert kind_of(["label", "completion", "prompt", "x"]) == "label"
    assert kind_of(["chosen", "rejected"]) == "preference" and kind_of(["prompt"]) == "prompt"
    assert kind_of(["question"]) is None


def test_files_that_cannot_be_read(tmp_path):
    path = tmp_path / "data.jsonl"
    assert error(path) == f"there is no file {path}"
    path.write_text("\n\n")
    assert error(path) == f"{path} holds no rows"
    path.write_bytes(b'{"prompt": "a"}\n{"prompt": "caf\xe9"}\n')
    assert f"{path}, line 2: byte 0xe9 is not UTF-8" in error(path, "prompt")
    (tmp_path / "data.csv").write_text("a,b")
    assert "the name must end in .jsonl" in error(tmp_path / "data.csv")
    (tmp_path / "data.json").write_text('[{"prompt": "a"},\n{"prompt": }]')
    assert f"{tmp_path / 'data.json'}, line 2: broken JSON (Expecting value, column 12)" in error(
        tmp_path / "data.json"
    )


def test_json_lists_json_lines_and_byte_order_marks(tmp_path):
    path = tmp_path / "data.json"
    path.write_text(json.dumps([{"prompt": "a"}, {"prompt": "b"}], indent=1))
    assert [(row.prompt, row.source) for row in read(path, "prompt").rows] == [
        ("a", f"{path}, row 1"),
        ("b", f"{path}, row 2"),
    ]
    path.write_text('{"prompt": "a"}\n{"prompt": "b"}\n')
    assert [row.prompt for row in read(path, "prompt").rows] == ["a", "b"]
    path.write_bytes(b"\xef\xbb\xbf" + '{"prompt": "a\u2028b\x85"}\r\n'.encode())
    assert [row.prompt for row in read(path, "prompt").rows] == ["a\u2028b\x85"]
    path.write_text('[{"prompt": "a"}, 7]')
    assert f"{path}, row 2: a JSON object was expected, found 7" in error(path, "prompt")


def test_plain_text(tmp_path):
    (tmp_path / "b.txt").write_text("second")
    (tmp_path / "a.txt").write_text("first\n")
    (tmp_path / "empty.txt").write_text(" ")
    assert read_text(tmp_path) == ("first\n", "second") and read_text(tmp_path / "b.txt") == ("second",)
    assert read(tmp_path / "b.txt", "text").rows[0].text == "second"
    with pytest.raises(UsageError, match="holds no text"):
        read_text(tmp_path / "empty.txt")
    with pytest.raises(UsageError, match=r"there are no \.txt files"):
        read_text(tmp_path.joinpath("new").mkdir() or tmp_path / "new")
    with pytest.raises(UsageError, match="cannot read"):
        read_text(tmp_path / "none.txt")


def test_parquet_files_and_parts_of_one(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    rows = [{"messages": [USER, {**FOUR, "name": "x"}], "id": 1}, {"messages": [USER, FIVE], "id": 2}]
    parquet.write_table(pyarrow.Table.from_pylist(rows[:1]), tmp_path / "train-00000-of-00002.parquet")
    parquet.write_table(pyarrow.Table.from_pylist(rows[1:]), tmp_path / "train-00001-of-00002.parquet")
    data = read(tmp_path, "text")
    assert [row.text for row in data.rows] == [(USER, {**FOUR, "name": "x"}), (USER, FIVE)]
    assert data.rows[1].data == {"id": 2} and data.rows[1].source.endswith("train-00001-of-00002.parquet, row 1")
    (tmp_path / "test-00000-of-00001.parquet").write_bytes(b"PAR1")
    assert "holds several data files" in error(tmp_path, "text")
    assert "is broken" in error(tmp_path / "test-00000-of-00001.parquet", "text")


def saved(directory, rows, form="new_stream"):
    """As ``datasets`` saves to disk: the table in parts, and their names in the right order."""
    import pyarrow

    directory.mkdir(parents=True)
    names = [f"data-{i:05}-of-{len(rows):05}.arrow" for i in range(len(rows))]
    for name, row in zip(names, rows, strict=True):
        table = pyarrow.Table.from_pylist([row])
        with getattr(pyarrow.ipc, form)(str(directory / name), table.schema) as writer:
            writer.write_table(table)
    (directory / "state.json").write_text(json.dumps({"_data_files": [{"filename": name} for name in names]}))
    (directory / "dataset_info.json").write_text("{}")


def test_directories_saved_by_hugging_face_datasets(tmp_path):
    pytest.importorskip("pyarrow")
    saved(tmp_path / "one", [{"prompt": "a", "completion": "b"}, {"prompt": "c", "completion": "d"}])
    assert [row.prompt for row in read(tmp_path / "one", "completion").rows] == ["a", "c"]
    for split in ("train", "test"):
        saved(tmp_path / "dict" / split, [{"prompt": split}], form="new_file")
    (tmp_path / "dict" / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    assert f"holds the splits train, test; name one, such as {tmp_path / 'dict' / 'train'}" in error(tmp_path / "dict")
    assert read(tmp_path / "dict" / "test", "prompt").rows[0].prompt == "test"
    (tmp_path / "dict" / "dataset_dict.json").write_text('{"splits": ["train"]}')
    assert read(tmp_path / "dict", "prompt").rows[0].prompt == "train"
    arrow = tmp_path / "one" / "data-00001-of-00002.arrow"
    arrow.write_bytes(arrow.read_bytes()[:40])
    assert "is broken" in error(tmp_path / "one")
