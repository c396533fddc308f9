"""The command line: ``puzzlebox COMMAND``; the flags of ``train`` are the fields of the algorithm.

Importing JAX takes a second, so nothing here does so before it is known that a command needs it: help and mistakes in
a flag's name should come at once.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from typing import Any, NoReturn

from puzzlebox import __version__
from puzzlebox.commands import COMMANDS
from puzzlebox.commands.command import Command, Flag, run, under
from puzzlebox.errors import PuzzleboxError, UsageError, unknown


class Parser(argparse.ArgumentParser):
    """argparse, but a mistake is one line as everywhere else, not the usage and an exit."""

    def error(self, message: str) -> NoReturn:
        """Raises UsageError."""
        raise UsageError(f"{message}; see {self.prog} --help")


def main(argv: list[str] | None = None) -> int:
    """Runs one command; returns the exit code: 0, 1 for a failure, 2 for a wrong request, 130 after Ctrl-C."""
    try:
        run(*parse(sys.argv[1:] if argv is None else argv))
    except PuzzleboxError as error:
        print(f"puzzlebox: {error}", file=sys.stderr)
        return error.exit_code
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError) and "RESOURCE_EXHAUSTED" not in str(error):  # XLA's word for it
            raise
        print(f"puzzlebox: out of memory ({error}); ask for less at once, or for smaller numbers", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("puzzlebox: stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output went away, e.g. `puzzlebox list | head`
        sys.stderr.close()
        return 0
    return 0


def parse(argv: list[str]) -> tuple[Command, dict[str, Any], bool]:
    """The command, the arguments of its function that were given, and whether JSON is asked for.

    Which flags exist depends on the command, for ``train`` also on the algorithm. So both are picked out of ``argv``
    first, and only that command's parser gets flags. Raises UsageError for anything that is not understood.
    """
    # the commands, as yet without flags
    parser = Parser(
        prog="puzzlebox",
        description="Reinforcement learning from a 5×5 maze to a language model.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"puzzlebox {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=Parser)
    parsers = {
        name: commands.add_parser(name, help=command.help, description=command.help, allow_abbrev=False)
        for name, command in COMMANDS.items()
    }

    # which command
    name = next((word for word in argv if not word.startswith("-")), "")
    if name not in COMMANDS:
        if name:
            raise unknown("command", name, COMMANDS)
        parser.parse_args(argv)  # shows the help or the version, or says that a command is missing

    # its flags
    command, own = COMMANDS[name], parsers[name]
    flags = command.flags
    if name == "train":
        algorithm = next((word for word in argv[argv.index(name) + 1 :] if not word.startswith("-")), "")
        if algorithm:
            flags += field_flags(algorithm)
            own.prog += f" {algorithm}"
    add_flags(own, flags)

    # what was given
    found, rest = parser.parse_known_args(argv)
    if rest:
        refuse(rest, own, flags)
    if found.trust_code:
        from puzzlebox.runs.inputs import TRUST

        TRUST.everything = True
    values = {flag.sets: getattr(found, flag.sets) for flag in flags if flag.sets}
    return command, {name: value for name, value in values.items() if value is not None}, found.json


def add_flags(parser: argparse.ArgumentParser, flags: Iterable[Flag]) -> None:
    """Gives ``parser`` the flags and ``--json``; what is not given is None afterwards."""
    parser.add_argument("--json", action="store_true", help="print one JSON object on standard output")
    parser.add_argument("--trust-code", action="store_true", help="run the code that a run or file brings along")
    groups: dict[str, Any] = {"": parser}
    for flag in flags:
        if flag.group not in groups:
            groups[flag.group] = parser.add_argument_group(flag.group)
        default = f" (default {flag.default})" if flag.default else ""
        words: dict[str, Any] = {"help": f"{flag.help}{default}".replace("%", "%%"), "default": None}
        words["action"] = argparse.BooleanOptionalAction if flag.action == "yes_no" else flag.action
        if flag.action in ("store", "append"):
            metavar = flag.metavar or (None if flag.choices else flag.plain.upper())
            words |= {"type": flag.type, "metavar": metavar, "nargs": flag.nargs, "choices": flag.choices}
        if flag.name.startswith("--"):
            options = (flag.name, *flag.also)
            groups[flag.group].add_argument(*options, dest=flag.sets, required=flag.required, **words)
        else:
            groups[flag.group].add_argument(flag.sets or flag.name, **words)


def field_flags(algorithm: str) -> tuple[Flag, ...]:
    """The hyper-parameters of an algorithm as flags; values stay text: ``0.1,0.2`` is a sweep, read by `configure`."""
    from puzzlebox.algorithms import algorithm_class
    from puzzlebox.fields import params, spellings

    flags = []
    for name, field in params(algorithm_class(algorithm)).items():
        default = ",".join(map(str, field.default)) if isinstance(field.default, tuple) else str(field.default)
        option, *others = (f"--{spelled.replace('_', '-')}" for spelled in spellings(name))
        flags.append(Flag(option, field.help, default=default, also=tuple(others), metavar="VALUE"))
    return under(f"hyper-parameters of {algorithm} (several numbers with commas are swept)", *flags)


def refuse(rest: list[str], parser: argparse.ArgumentParser, flags: Iterable[Flag]) -> NoReturn:
    """Raises UsageError for the first of the words ``rest``, which ``parser`` did not understand."""
    from puzzlebox.fields import unknown_field  # not before: JAX comes with it, and takes a second

    strange = next((word.partition("=")[0] for word in rest if word.startswith("--")), None)
    if strange is None:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    known = [name for flag in flags for name in (flag.name, *flag.also) if name.startswith("--")]
    known += ["--help", "--json", "--trust-code"]
    raise unknown_field(f"flag of {parser.prog.partition(' ')[2]}", strange, known)


if __name__ == "__main__":
    raise SystemExit(main())
