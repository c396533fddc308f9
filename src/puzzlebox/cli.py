"""The command line: ``puzzlebox COMMAND``; the flags of ``train`` are the fields of the algorithm."""

from __future__ import annotations

import argparse
import json
import sys
from typing import NoReturn

from puzzlebox import __version__
from puzzlebox.commands import COMMANDS
from puzzlebox.errors import PuzzleboxError, UsageError, unknown


class Parser(argparse.ArgumentParser):
    """Errors in one line, as everywhere else."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; see {self.prog} --help")


def main(argv: list[str] | None = None) -> int:
    """Runs one command; returns the exit code: 0, 1 for a failure, 2 for a wrong request, 130 after Ctrl-C."""
    argv = sys.argv[1:] if argv is None else argv
    try:
        arguments = parse(argv)
        result = arguments.command(arguments)
        if arguments.json:
            print(json.dumps(result))
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


def parse(argv: list[str]) -> argparse.Namespace:
    parser = Parser(
        prog="puzzlebox",
        description="Reinforcement learning from a 5×5 maze to a language model.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"puzzlebox {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=Parser)
    for name, (function, help, add_arguments) in COMMANDS.items():
        sub = commands.add_parser(name, help=help, description=help, allow_abbrev=False)
        sub.add_argument("--json", action="store_true", help="print one JSON object on standard output")
        add_arguments(sub)
        sub.set_defaults(command=function)
    if argv and not argv[0].startswith("-") and argv[0] not in COMMANDS:
        raise unknown("command", argv[0], COMMANDS)
    if argv[:1] == ["train"]:
        add_fields(commands.choices["train"], argv)
    arguments, rest = parser.parse_known_args(argv)
    if rest:
        refuse(rest, commands.choices[argv[0]])
    return arguments


def refuse(rest: list[str], parser: argparse.ArgumentParser) -> NoReturn:
    """Raises UsageError for what ``parser`` does not know."""
    from puzzlebox.fields import unknown_field  # not before: JAX comes with it, and takes a second

    flag = next((word.partition("=")[0] for word in rest if word.startswith("--")), None)
    if flag is None:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    known = [flag for flag in parser._option_string_actions if flag.startswith("--")]
    raise unknown_field(f"flag of {parser.prog.partition(' ')[2]}", flag, known)


def add_fields(parser: argparse.ArgumentParser, argv: list[str]) -> None:
    """Gives ``train`` the flags of the algorithm named in ``argv``."""
    from puzzlebox.algorithms import algorithm_class
    from puzzlebox.fields import params

    name = next((word for word in argv[1:] if not word.startswith("-")), None)
    if name is None:
        return
    fields = params(algorithm_class(name))
    parser.prog += f" {name}"
    group = parser.add_argument_group(f"hyper-parameters of {name} (several numbers with commas are swept)")
    for field, definition in fields.items():
        default = definition.default
        shown = ",".join(map(str, default)) if isinstance(default, tuple) else default
        group.add_argument(
            f"--{field.replace('_', '-')}",
            dest=f"field_{field}",
            metavar="VALUE",
            help=f"{definition.help} (default {shown})".replace("%", "%%"),
        )
