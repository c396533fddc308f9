"""Tokenizers: ids worked by hand on tiny vocabularies, Hugging Face's and GGUF's layouts, and transformers' answers."""

import json

import pytest
from tokenizers import AddedToken, decoders, models, normalizers, pre_tokenizers, processors
from tokenizers import Tokenizer as Library

from puzzlebox.data.tokenizer import Tokenizer
from puzzlebox.errors import UsageError
from puzzlebox.runs.fetch import smollm2

TEXTS = [
    "",
    " ",
    "The answer is 12.",
    "  two  spaces \n\n and\tlines\r\n",
    "I'm you're THEY'LL",
    "café cafe\u0301 ½ ٣",
    "日本語 😀👩‍👧",
    "<|im_start|>user\nhi<|im_end|>\n",
    "\x00\x7f\u2028",
    "<eos><pad>",
]
CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
QUESTION = [{"role": "user", "content": "a"}]


def error(call, *args):
    with pytest.raises(UsageError) as caught:
        call(*args)
    text = str(caught.value)
    assert "\n" not in text
    return text


def letter(byte):
    """The letter of a byte in byte-level vocabularies, found by asking which one the byte is decoded from."""
    return next(c for c in pre_tokenizers.ByteLevel.alphabet() if _BYTES[c] == byte)


def _byte(character):
    printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
    others = [b for b in range(256) if b not in printable]
    return ord(character) if ord(character) in printable else others[ord(character) - 256]


_BYTES = {c: _byte(c) for c in pre_tokenizers.ByteLevel.alphabet()}


# Characters


def test_characters_are_the_bytes_of_the_text():
    tokenizer = Tokenizer.characters()
    assert (tokenizer.vocab_size, tokenizer.pad_id, tokenizer.eos_id, tokenizer.bos_id) == (258, 256, 257, None)
    assert tokenizer.stop_ids == (257,) and tokenizer.pad_reason == "the tokenizer's own padding token"
    for text in [*TEXTS, "".join(map(chr, [*range(0xD800), *range(0xE000, 0x110000, 97)]))]:
        ids = tokenizer.encode(text)
        assert ids == list(text.encode()) == tokenizer.encode_prompt(text)
        assert tokenizer.decode(ids) == text
    assert tokenizer.decode([104, 105, 257, 256]) == "hi"
    assert tokenizer.decode([104, 105, 257, 256], skip_special=False) == "hi<eos><pad>"
    assert tokenizer.token_strings([104, 32, 257]) == ["h", " ", "<eos>"]


def test_characters_write_special_tokens_only_in_a_chat():
    tokenizer = Tokenizer.characters().with_chat_template("{{ messages[0]['content'] }}<eos>")
    assert tokenizer.encode_chat(QUESTION) == [97, 257]
    assert tokenizer.encode("a<eos>") == [97, 60, 101, 111, 115, 62]


def test_a_tokenizer_equals_only_itself():
    one, other = Tokenizer.characters(), Tokenizer.characters()
    assert one == one and one != other and len({one, other}) == 2


# GGUF


def gguf(path, pre="gpt-2", model="gpt2", **extra):
    """A file with 256 bytes, the merges Ġa, ab, 12 and the tokens 'Ġab' (no merge leads there), 'é' and specials."""
    writing = pytest.importorskip("gguf")
    reader = pytest.importorskip("gguf").GGUFReader
    tokens = [letter(b) for b in range(256)] + [
        "Ġa",
        "ab",
        "12",
        "Ġab",
        "Ã©",
        "<|im_start|>",
        "<|im_end|>",
        "<unk>",
        "<new>",
    ]
    writer = writing.GGUFWriter(str(path), "llama")
    writer.add_tokenizer_model(model)
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(tokens)
    writer.add_token_types([1] * 261 + [3, 3, 3, 4])
    writer.add_token_merges(["Ġ a", "a b", "1 2", "Ã ©"])
    writer.add_bos_token_id(261)
    writer.add_unk_token_id(263)
    for name, value in ({"eos_token_id": 262, "pad_token_id": 262} | extra).items():
        if value is not None:
            getattr(writer, f"add_{name}")(value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return reader(str(path))


@pytest.mark.parametrize(
    ("pre", "text", "ids"),
    [
        ("gpt-2", " ab ab", [256, 98, 256, 98]),  # Ġa is merged before ab
        ("gpt-2", "ab123", [257, 258, 51]),
        ("gpt-2", "12 <|im_end|>12", [258, 32, 262, 258]),
        ("gpt-2", "a<new>b", [97, 264, 98]),
        ("smollm", "ab123 1", [257, 49, 50, 51, 32, 49]),
        ("smollm", " 12", [32, 49, 50]),
        ("llama-bpe", " ab112", [259, 49, 258]),  # a piece that is a token is taken whole
        ("llama-bpe", "1112", [49, 49, 49, 50]),  # three digits at most: 111, 2
        ("qwen2", "12ab", [49, 50, 257]),
        ("qwen2", "e\u0301", [260]),
        ("gpt-2", "e\u0301", [101, 204, 129]),
        ("default", "1112+ab", [49, 49, 49, 50, 43, 257]),
    ],
)
def test_gguf_rules(tmp_path, pre, text, ids):
    tokenizer = Tokenizer.from_gguf(gguf(tmp_path / "model.gguf", pre))
    assert tokenizer.encode(text) == ids
    assert tokenizer.decode(ids, skip_special=False) == ("é" if pre == "qwen2" and ids == [260] else text)


def test_gguf_special_tokens(tmp_path):
    tokenizer = Tokenizer.from_gguf(gguf(tmp_path / "model.gguf", chat_template=CHATML))
    assert (tokenizer.vocab_size, tokenizer.bos_id, tokenizer.eos_id, tokenizer.pad_id) == (265, 261, 262, 263)
    assert tokenizer.pad_reason == "the unknown token, because its padding token also ends a text"
    assert tokenizer.stop_ids == (262,) and tokenizer.encode_prompt("a") == [97]
    assert tokenizer.encode_chat(QUESTION)[:8] == [261, *b"user", 10, 97, 262]
    with_bos = Tokenizer.from_gguf(gguf(tmp_path / "bos.gguf", add_bos_token=True, eot_token_id=263))
    assert with_bos.encode_prompt("ab") == [261, 257] and with_bos.encode("ab") == [257]
    assert with_bos.stop_ids == (262, 263)
    assert with_bos.pad_id == 261  # nothing else is special and does not stop


def test_gguf_files_that_cannot_be_read(tmp_path):
    path = tmp_path / "model.gguf"
    assert "kind 'llama'; only 'gpt2'" in error(Tokenizer.from_gguf, gguf(path, model="llama"))
    message = error(Tokenizer.from_gguf, gguf(path, pre="tekken"))
    assert "rule 'tekken'; there are: default, gpt-2, llama-bpe, qwen2, smollm" in message
    assert "no end-of-text token" in error(Tokenizer.from_gguf, gguf(path, eos_token_id=None))


def test_smollm2_itself():
    """Ids of its published layout (individual digits, then byte-level BPE), computed with ``tokenizers`` alone."""
    try:
        path = smollm2()
    except UsageError as error:
        pytest.skip(str(error))
    tokenizer = Tokenizer.from_gguf(pytest.importorskip("gguf").GGUFReader(path))
    assert (tokenizer.vocab_size, tokenizer.eos_id, tokenizer.pad_id, tokenizer.stop_ids) == (49152, 2, 0, (2,))
    assert tokenizer.encode("The capital of France is") == [504, 3575, 282, 4649, 314]
    assert tokenizer.encode(" 12345 été\n\n x") == [216, 33, 34, 35, 36, 37, 216, 19380, 2756, 1116, 1792]
    assert tokenizer.encode_chat([{"role": "system", "content": ""}, {"role": "user", "content": "hi"}]) == [
        *(1, 9690, 198, 2, 198, 1, 4093, 198, 6004, 2, 198, 1, 520, 9531, 198)
    ]


# Hugging Face directories


def words(*, post=None):
    """A vocabulary of words, as small as a real layout gets."""
    names = ["<unk>", "<s>", "</s>", "<pad>", "<turn>", "a", "b", "c"]
    library = Library(models.WordLevel({name: i for i, name in enumerate(names)}, unk_token="<unk>"))
    library.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    library.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in names[:5]])
    if post:
        library.post_processor = processors.TemplateProcessing(post, special_tokens=[("<s>", 1), ("</s>", 2)])
    return library


def write(directory, library, config=None, **files):
    directory.mkdir(exist_ok=True)
    (directory / "tokenizer.json").write_text(library if isinstance(library, str) else library.to_str())
    if config is not None:
        (directory / "tokenizer_config.json").write_text(json.dumps(config))
    for name, content in files.items():
        name = "chat_template.jinja" if name == "template" else f"{name}.json"
        (directory / name).write_text(content if isinstance(content, str) else json.dumps(content))
    return directory


def test_the_layouts_of_transformers_4_and_5(tmp_path):
    named = {"eos_token": "</s>", "bos_token": {"content": "<s>", "lstrip": False}, "pad_token": "<pad>"}
    new = Tokenizer.load(write(tmp_path / "new", words(), named))
    old = Tokenizer.load(write(tmp_path / "old", words(), {"model_max_length": 8}, special_tokens_map=named))
    for tokenizer in (new, old):
        assert (tokenizer.eos_id, tokenizer.bos_id, tokenizer.pad_id, tokenizer.stop_ids) == (2, 1, 3, (2,))
        assert (tokenizer.eos_token, tokenizer.bos_token, tokenizer.chat_template) == ("</s>", "<s>", None)
    differs = {"eos_token": "<turn>"}
    assert Tokenizer.load(write(tmp_path / "old", words(), differs)).eos_id == 2  # then the map counts
    assert Tokenizer.load(write(tmp_path / "old", words(), differs | {"added_tokens_decoder": {}})).eos_id == 4
    entries = [{"name": "tool_use", "template": "x"}, {"name": "default", "template": "y"}]
    assert Tokenizer.load(write(tmp_path / "new", words(), named | {"chat_template": entries})).chat_template == "y"
    with_file = write(tmp_path / "new", words(), named | {"chat_template": "x"}, template="é")
    assert Tokenizer.load(with_file).chat_template == "é"


def test_end_of_text_may_stand_in_the_models_files(tmp_path):
    model = {"eos_token_id": 2, "bos_token_id": 1}
    tokenizer = Tokenizer.load(write(tmp_path / "a", words(), config=model))
    assert (tokenizer.eos_id, tokenizer.bos_id) == (2, None)  # tokenizer_config.json does not hold ids
    tokenizer = Tokenizer.load(
        write(tmp_path / "b", words(), **{"special_tokens_map": {}}, **{"generation_config": {}})
    )
    assert tokenizer.eos_id == 2  # the usual name
    (tmp_path / "b" / "config.json").write_text(json.dumps(model | {"eos_token_id": [4, 2]}))
    (tmp_path / "b" / "generation_config.json").unlink()
    tokenizer = Tokenizer.load(tmp_path / "b")
    assert (tokenizer.eos_id, tokenizer.bos_id, tokenizer.stop_ids) == (4, 1, (4, 2))


def test_stop_tokens_are_all_that_end_an_answer(tmp_path):
    config = {"eos_token": "</s>"}
    generation = {"eos_token_id": [2, 3, 99]}  # 99 is no token
    template = "{% for m in messages %}{{ m['content'] + ' <turn> b ' }}{% endfor %}"
    path = write(tmp_path / "a", words(), config, generation_config=generation, template=template)
    assert Tokenizer.load(path).stop_ids == (2, 3, 4)
    assert Tokenizer.load(path).encode_chat(QUESTION) == [5, 4, 6]
    (path / "chat_template.jinja").write_text("{% broken")
    assert Tokenizer.load(path).stop_ids == (2, 3)  # the template's own error waits until a chat is encoded
    assert "chat template is broken" in error(Tokenizer.load(path).encode_chat, QUESTION)


@pytest.mark.parametrize(
    ("config", "pad_id", "reason"),
    [
        ({"pad_token": "<pad>"}, 3, "the tokenizer's own padding token"),
        (
            {"pad_token": "</s>", "unk_token": "<unk>"},
            0,
            "the unknown token, because its padding token also ends a text",
        ),
        ({"unk_token": "<unk>"}, 0, "the unknown token, because the tokenizer has no padding token"),
        ({"bos_token": "<unk>"}, 1, "the special token <s>, because the tokenizer has no padding token"),
    ],
)
def test_padding_never_ends_a_text(tmp_path, config, pad_id, reason):
    tokenizer = Tokenizer.load(write(tmp_path / "a", words(), {"eos_token": "</s>"} | config))
    assert (tokenizer.pad_id, tokenizer.pad_reason) == (pad_id, reason)


def test_what_a_tokenizer_adds_by_itself(tmp_path):
    config = {"eos_token": "</s>", "bos_token": "<s>"}
    tokenizer = Tokenizer.load(write(tmp_path / "a", words(post="<s> $A </s>"), config))
    assert tokenizer.encode("a b") == [5, 6] and tokenizer.encode_prompt("a b") == [1, 5, 6]
    assert tokenizer.encode_prompt("") == [1]
    assert tokenizer.decode([1, 5, 2]) == "a" and tokenizer.decode([1, 5, 2], skip_special=False) == "<s> a </s>"


def test_truncation_and_padding_of_the_file_are_ignored(tmp_path):
    library = words()
    library.enable_truncation(2)
    library.enable_padding(pad_id=3, pad_token="<pad>", length=6)
    tokenizer = Tokenizer.load(write(tmp_path / "a", library, {"eos_token": "</s>"}))
    assert tokenizer.encode("a b c") == [5, 6, 7] and tokenizer.encode("a") == [5]


def test_tokens_that_only_the_configuration_lists(tmp_path):
    listed = {"8": {"content": "<new>", "special": True}, "99": {"content": "<far>", "special": True}}
    config = {"eos_token": "<new>", "added_tokens_decoder": listed}
    tokenizer = Tokenizer.load(write(tmp_path / "a", words(), config))
    assert tokenizer.eos_id == 8 and tokenizer.vocab_size == 9 and tokenizer.encode("a<new>b") == [5, 8, 6]


def test_a_loaded_tokenizer_is_saved_byte_for_byte(tmp_path):
    path = write(
        tmp_path / "a", words(), {"eos_token": "</s>"}, template="{{ 1 }}", generation_config={"eos_token_id": 2}
    )
    (path / "tokenizer.json").write_text(json.dumps(json.loads(words().to_str()), indent=5))
    (path / "tokenizer.model").write_bytes(b"\x00\xff")
    before = {file.name: file.read_bytes() for file in path.iterdir()}
    Tokenizer.load(path).save(tmp_path / "b")
    assert {file.name: file.read_bytes() for file in (tmp_path / "b").iterdir()} == before
    Tokenizer.load(path).with_chat_template("{{ 2 }}").save(tmp_path / "c")
    after = {file.name: file.read_bytes() for file in (tmp_path / "c").iterdir()}
    assert after == before | {"chat_template.jinja": b"{{ 2 }}"}


def test_directories_that_cannot_be_read(tmp_path):
    path = tmp_path / "model"
    assert error(Tokenizer.load, path) == f"there is no directory {path}; pass one that holds a tokenizer.json"
    path.mkdir()
    assert f"there is no tokenizer.json in {path}" in error(Tokenizer.load, path)
    (path / "vocab.json").write_text("{}")
    (path / "tokenizer.model").write_bytes(b"")
    assert "only the older tokenizer files tokenizer.model, vocab.json; write a tokenizer.json" in error(
        Tokenizer.load, path
    )
    for broken in ("{", "{}", "[1]", words().to_str()[:300]):
        assert f"{path / 'tokenizer.json'} is broken" in error(Tokenizer.load, write(path, broken))
    write(path, words(), {"eos_token": "nowhere"})
    (path / "tokenizer_config.json").write_text('{"a"')
    assert f"{path / 'tokenizer_config.json'} is broken" in error(Tokenizer.load, path)
    no_end = Library(models.WordLevel({"a": 0, "<unk>": 1}, unk_token="<unk>"))
    assert "names no end-of-text token" in error(Tokenizer.load, write(path, no_end, {"eos_token": "nowhere"}))


def test_a_chat_needs_a_template_and_a_text_whole_characters():
    tokenizer = Tokenizer.characters()
    assert "no chat template" in error(tokenizer.encode_chat, QUESTION)
    assert "--chat-template FILE" in error(tokenizer.chat_text, QUESTION)
    assert "half a surrogate pair, '\\ud800' at character 1" in error(tokenizer.encode, "a\ud800")


# Against transformers


def sentencepiece():
    """The way Llama 2 and Gemma cut a text: spaces as ▁, one in front, bytes where there is no letter."""
    vocabulary = {name: i for i, name in enumerate(["<unk>", "<s>", "</s>", *(f"<0x{b:02X}>" for b in range(256))])}
    merges = [("▁", "a"), ("i", "s"), ("▁", "▁"), ("▁a", "n")]
    for token in [*"▁abcdefghijklmnopqrstuvwxyzé.", *(a + b for a, b in merges)]:
        vocabulary[token] = len(vocabulary)
    library = Library(models.BPE(vocabulary, merges, byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    library.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tidy = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    library.decoder = decoders.Sequence(tidy)
    library.add_special_tokens(["<unk>", "<s>", "</s>"])
    library.post_processor = processors.TemplateProcessing("<s> $A", special_tokens=[("<s>", 1)])
    return library


def test_a_space_in_front_belongs_to_its_token(tmp_path):
    tokenizer = Tokenizer.load(write(tmp_path / "a", sentencepiece(), {"eos_token": "</s>", "bos_token": "<s>"}))
    ids = tokenizer.encode("an  is")
    assert tokenizer.token_strings(ids) == [" an", "  ", "is"] and tokenizer.decode(ids) == "an  is"


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("source", ["characters", "gguf", "words", "sentencepiece"])
def test_transformers_opens_what_is_saved_and_gives_the_same(tmp_path, source):
    transformers = pytest.importorskip("transformers")
    if source == "characters":
        tokenizer = Tokenizer.characters()
    elif source == "gguf":
        tokenizer = Tokenizer.from_gguf(gguf(tmp_path / "model.gguf", "smollm", chat_template=CHATML))
    else:
        library = {"words": words(post="<s> $A"), "sentencepiece": sentencepiece()}[source]
        config = {"eos_token": "</s>", "bos_token": "<s>", "tokenizer_class": "PreTrainedTokenizerFast"}
        tokenizer = Tokenizer.load(write(tmp_path / "a", library, config, template=CHATML))
    tokenizer.save(tmp_path / "saved")
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path / "saved")
    again = Tokenizer.load(tmp_path / "saved")
    for text in TEXTS:
        ids = theirs.encode(text, add_special_tokens=False)
        assert tokenizer.encode(text) == again.encode(text) == ids
        assert tokenizer.encode_prompt(text) == theirs.encode(text)
        assert tokenizer.decode(ids) == theirs.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        assert tokenizer.decode(ids, False) == theirs.decode(ids, clean_up_tokenization_spaces=False)
    assert (again.eos_id, again.bos_id) == (theirs.eos_token_id, theirs.bos_token_id)
    assert (again.pad_id, again.stop_ids) == (tokenizer.pad_id, tokenizer.stop_ids)
    if tokenizer.chat_template:
        messages = [*QUESTION, {"role": "assistant", "content": " b <b>é"}, *QUESTION]
        for prompt in (True, False):
            ids = theirs.apply_chat_template(messages, add_generation_prompt=prompt, return_dict=False)
            assert tokenizer.encode_chat(messages, prompt) == ids
