"""Every command as a record: its flags are the parameters of the function it calls, and the defaults told are true."""

import inspect
import json
import subprocess
import sys
import types
from pathlib import Path

import pytest

import puzzlebox
from puzzlebox.commands import COMMANDS, PYTHON_CALLS
from puzzlebox.commands.command import Command, load, run

NOTHING = (None, "", False, 0, ())
FLAGS = [(name, flag) for name, command in COMMANDS.items() for flag in command.flags if flag.sets]
IDS = [f"{name} {flag.name}" for name, flag in FLAGS]


def parameters(name):
    return inspect.signature(load(COMMANDS[name].call)).parameters


@pytest.mark.parametrize(("name", "flag"), FLAGS, ids=IDS)
def test_a_default_told_in_the_help_is_the_functions(name, flag):
    parameter = parameters(name)[flag.sets]
    if flag.default:
        several = flag.nargs == "+"
        told = tuple(map(flag.type, flag.default.split())) if several else flag.type(flag.default)
        assert told == parameter.default or str(told) == parameter.default
    elif flag.name.startswith("--") and not flag.required:
        # What is told of it, if anything, is said in words: (default: the run's own).
        assert parameter.default in NOTHING or (name == "league" and flag.name == "--algorithms")
        assert "(default " not in flag.help


@pytest.mark.parametrize("name", COMMANDS)
def test_what_a_function_needs_has_to_be_given(name):
    required = {
        flag.sets
        for flag in COMMANDS[name].flags
        if flag.required or not (flag.name.startswith("--") or flag.nargs == "?")
    }
    open_ended = inspect.Parameter.VAR_KEYWORD
    needed = {p.name for p in parameters(name).values() if p.default is p.empty and p.kind != open_ended}
    assert required - {""} == needed
    assert any(p.kind == open_ended for p in parameters(name).values()) == (name == "train")  # its hyper-parameters


@pytest.mark.parametrize("name", COMMANDS)
def test_what_shows_the_figures_is_there(name):
    command = COMMANDS[name]
    for function in filter(None, (command.show, command.footnote)):
        assert callable(load(function, command.call))


def test_every_command_is_a_python_call():
    names = {name.replace("-", "_") for name in COMMANDS} - {"list", "play"} | {"list_names", "play_game"}
    assert set(PYTHON_CALLS) == names
    for name in (*names, "make"):
        assert callable(getattr(puzzlebox, name)) and name in dir(puzzlebox)
    with pytest.raises(AttributeError, match="has no attribute 'slove'"):
        puzzlebox.slove  # noqa: B018


def test_no_python_call_has_the_name_of_a_folder():
    """The attribute of a package that was imported is that package."""
    assert not {path.stem for path in Path(puzzlebox.__file__).parent.iterdir()} & set(PYTHON_CALLS)


def test_a_start_imports_nothing_heavy():
    code = "import sys, puzzlebox, puzzlebox.cli; dir(puzzlebox); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    ours = {name for name in done.stdout.split() if name.startswith("puzzlebox.")}
    assert ours == {"puzzlebox.cli", "puzzlebox.errors", "puzzlebox.commands"} | {
        f"puzzlebox.commands.{name}" for name in ("command", "games", "language", "training", "video")
    }
    assert not {"jax", "numpy", "rich"} & set(done.stdout.split())


@pytest.fixture
def talker(monkeypatch):
    """A command that prints while it works."""
    module = types.ModuleType("talker")

    def talk(words):
        print("said", words)
        return {"words": words}

    module.talk = talk
    module.summary_lines = lambda figures: ["two", figures["words"]]
    module.footnote = lambda figures: f"{len(figures)} word"
    monkeypatch.setitem(sys.modules, "talker", module)
    return Command("talker:talk", "", (), footnote="footnote")


def test_a_person_reads_lines_and_a_footnote(talker, capsys):
    run(talker, {"words": "hello"}, as_json=False)
    assert capsys.readouterr() == ("said hello\ntwo\nhello\n", "1 word\n")
    run(talker._replace(show="", footnote=""), {"words": "hello"}, as_json=False)
    assert capsys.readouterr() == ("said hello\n", "")


def test_json_is_alone_on_standard_output(talker, capsys):
    run(talker, {"words": "hello"}, as_json=True)
    out, err = capsys.readouterr()
    assert json.loads(out) == {"words": "hello"} and out.count("\n") == 1
    assert err == "said hello\n"
