"""Chat templates: rendering as written by hand, the sandbox, and templates that rewrite what was said."""

import pytest

from puzzlebox.data.append_only import CONVERSATION, append_only_complaint
from puzzlebox.data.chat import read_template, render
from puzzlebox.data.tokenizer import Tokenizer
from puzzlebox.errors import UsageError

HELLO = [{"role": "user", "content": "Hi <b>é</b>"}]
LINES = (
    "{% for m in messages %}{{ m['role'] + ': ' + m['content'] + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}"
)


def error(call, *args):
    with pytest.raises(UsageError) as caught:
        call(*args)
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_a_conversation_is_written_by_its_template():
    assert render(LINES, HELLO) == "user: Hi <b>é</b>\n"
    assert render(LINES, HELLO, True) == "user: Hi <b>é</b>\nassistant: "
    assert render("{{ bos_token }}|{{ eos_token }}", HELLO, bos_token="<s>", eos_token="</s>") == "<s>|</s>"
    assert render("{% if bos_token is defined %}yes{% else %}no{% endif %}", HELLO) == "no"
    assert (
        render("{% if tools %}{{ tools | tojson }}{% endif %}", HELLO, tools=[{"name": "sum"}]) == '[{"name": "sum"}]'
    )


def test_blocks_leave_no_white_space_and_loops_may_break():
    template = """
    {%- for m in messages %}
        {% if loop.index > 1 %}
            {% break %}
        {% endif %}
{{ m['content'] }}
    {% endfor %}
end"""
    assert render(template, HELLO * 3) == "Hi <b>é</b>\nend"


def test_json_keeps_its_letters_and_generation_blocks_are_their_body():
    assert render("{{ messages[0]['content'] | tojson }}", HELLO) == '"Hi <b>é</b>"'
    assert render("[{% generation %}{{ messages[0]['role'] }}{% endgeneration %}]", HELLO) == "[user]"
    assert len(render("{{ strftime_now('%Y') }}", HELLO)) == 4


@pytest.mark.parametrize(
    "template",
    [
        "{{ ''.__class__ }}",
        "{{ ''['__class__'] }}",
        "{{ ''.__class__.__mro__ }}",
        "{{ '' | attr('__class__') }}",
        "{{ messages | map(attribute='__class__') | list }}",
        "{{ '{0.__class__}'.format(1) }}",
    ],
)
def test_a_template_that_reaches_for_classes_is_refused(template):
    assert "was refused, it reaches for '__class__'" in error(render, template, HELLO)


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("{{ messages.append(1) }}", "refused, it reaches for 'append' of list"),
        ("{{ cycler.__init__.__globals__.os.popen('id').read() }}", "refused, it reaches for '__init__'"),
        ("a\nb{% for", "broken in its line 2"),
        ("{{ raise_exception('no system message,\nplease') }}", "refuses this conversation: no system message, please"),
        ("{{ 1 / 0 }}", "fails: ZeroDivisionError: division by zero"),
        ("{{ range(1000000000) | list }}", "fails: OverflowError"),
    ],
)
def test_every_error_of_a_template_is_one_line(template, reason):
    assert reason in error(render, template, HELLO)


def test_a_template_sees_plain_data_only():
    assert "found a object" in error(render, LINES, [{"role": "user", "content": object()}])


def test_a_template_file(tmp_path):
    path = tmp_path / "chat.jinja"
    assert "No such file" in error(read_template, path)
    path.write_bytes(b"caf\xe9")
    assert "not UTF-8 (byte 3)" in error(read_template, path)
    path.write_text(LINES)
    assert read_template(path) == LINES


def test_a_template_that_only_appends_has_no_complaint():
    assert append_only_complaint(Tokenizer.characters().with_chat_template(LINES)) is None


def test_a_template_that_forgets_earlier_thoughts_is_found():
    template = (
        "{% for m in messages %}{{ m['role'] + ': ' }}"
        "{% if m['role'] == 'assistant' and loop.last %}{{ '<think></think>' }}{% endif %}"
        "{{ m['content'] + '\n' }}{% endfor %}{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}"
    )
    complaint = append_only_complaint(Tokenizer.characters().with_chat_template(template))
    assert "with message 3, what messages 1 to 2 gave changes from '<think></think>Answer is 7." in complaint
    assert "to 'Answer is 7." in complaint and "--chat-template FILE" in complaint


def test_a_template_whose_generation_prompt_is_not_what_follows_is_found():
    template = LINES.replace("'assistant: '", "'Assistant: '")
    complaint = append_only_complaint(Tokenizer.characters().with_chat_template(template), CONVERSATION[:2])
    assert (
        "with message 2, what messages 1 to 1 gave changes from 'Assistant: ' to 'assistant: Answer is 7.\\n'"
        in complaint
    )


def test_tokens_that_merge_over_the_end_of_a_turn_are_found():
    from tokenizers import Tokenizer as Library
    from tokenizers import decoders, models, pre_tokenizers

    from puzzlebox.data.tokenizer_files import Parts

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {letter: i for i, letter in enumerate([*letters, "ĊĊ"])}
    library = Library(models.BPE(vocabulary, [("Ċ", "Ċ")]))
    library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    library.decoder = decoders.ByteLevel()
    template = "{% for m in messages %}{{ m['content'] }}{% if not loop.last %}{{ '\n' }}{% endif %}{% endfor %}"
    tokenizer = Tokenizer(Parts(library, eos_id=0, chat_template=template))
    messages = [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "\nb\n"},
        {"role": "user", "content": ""},
    ]
    assert append_only_complaint(tokenizer, [{**m, "content": m["content"].strip() + "."} for m in messages]) is None
    complaint = append_only_complaint(tokenizer, messages)
    assert "not append-only in tokens" in complaint and r"['\n'] at the end of messages 1 to 2" in complaint
