"""The command line: ``puzzlebox COMMAND``; the flags of ``train`` are the fields of the algorithm."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from puzzlebox import __version__
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
    return parser.parse_args(argv)


def add_fields(parser: argparse.ArgumentParser, argv: list[str]) -> None:
    """Gives ``train`` the flags of the algorithm named in ``argv``."""
    from puzzlebox.algorithms import algorithm_class
    from puzzlebox.fields import params

    name = next((word for word in argv[1:] if not word.startswith("-")), None)
    if name is None:
        return
    fields = params(algorithm_class(name))
    group = parser.add_argument_group(f"hyper-parameters of {name} (several numbers with commas are swept)")
    for field, definition in fields.items():
        default = definition.default
        shown = ",".join(map(str, default)) if isinstance(default, tuple) else default
        group.add_argument(
            f"--{field.replace('_', '-')}",
            dest=f"field_{field}",
            metavar="VALUE",
            help=f"{definition.metadata['help']} (default {shown})".replace("%", "%%"),
        )
    known = {f"--{field.replace('_', '-')}" for field in fields} | set(parser._option_string_actions)
    for word in argv[1:]:
        flag = word.partition("=")[0]
        if flag.startswith("--") and flag not in known:
            raise unknown(f"flag of train {name}", flag, known)


# The commands. Each takes the parsed arguments and returns what ``--json`` prints; without ``--json`` it shows the same
# to a person.


def train(arguments: argparse.Namespace) -> dict[str, Any]:
    from puzzlebox.run import report, train

    fields = {
        k.removeprefix("field_"): v for k, v in vars(arguments).items() if k.startswith("field_") and v is not None
    }
    figures = train.train(
        arguments.algorithm,
        arguments.env,
        seeds=arguments.seeds,
        seed=arguments.seed,
        run=arguments.run,
        episodes=arguments.episodes,
        checkpoint_every=arguments.checkpoint_every,
        **fields,
    )
    return report.show(figures, arguments.json)


def resume(arguments: argparse.Namespace) -> dict[str, Any]:
    from puzzlebox.run import report, train

    return report.show(train.resume(arguments.run, checkpoint_every=arguments.checkpoint_every), arguments.json)


def evaluate(arguments: argparse.Namespace) -> dict[str, Any]:
    from puzzlebox.run import evaluate, report

    return report.show(
        evaluate.evaluate(arguments.run, episodes=arguments.episodes, seed=arguments.seed), arguments.json
    )


def watch(arguments: argparse.Namespace) -> dict[str, Any]:
    from puzzlebox.run import watch

    figures = watch.watch(
        arguments.run,
        agent=arguments.agent,
        greedy=not arguments.sampled,
        seed=arguments.seed,
        episodes=arguments.episodes,
        out=arguments.out,
        terminal=arguments.terminal,
    )
    if not arguments.json:
        print("\n".join(watch.lines(figures)))
    return figures


def list_names(arguments: argparse.Namespace) -> dict[str, Any]:
    from puzzlebox.algorithms import ALGORITHMS, algorithm_class
    from puzzlebox.envs import ENVIRONMENTS, PREFIXES

    def first_line(name: str) -> str:
        return (algorithm_class(name).__doc__ or "").strip().splitlines()[0]

    lists: dict[str, Any] = {
        "envs": list(ENVIRONMENTS) + [f"{prefix}:…" for prefix in PREFIXES],
        "algorithms": {name: first_line(name) for name in ALGORITHMS},
    }
    chosen = {arguments.what: lists[arguments.what]} if arguments.what else lists
    if not arguments.json:
        for title, names in chosen.items():
            print(title)
            for name in names:
                text = names[name] if isinstance(names, dict) else PREFIXES.get(name.removesuffix(":…"), "")
                print(f"  {name:24}{text}".rstrip())
    return chosen


def train_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("algorithm", metavar="ALGORITHM", help="see: puzzlebox list algorithms")
    parser.add_argument("env", metavar="ENV", help="a world, options after commas; see: puzzlebox list envs")
    parser.add_argument("--seeds", type=int, default=1, help="how many agents to train at once (default 1)")
    parser.add_argument("--seed", type=int, default=0, help="the first seed (default 0)")
    parser.add_argument("--run", type=Path, help="the run directory (default runs/ALGORITHM-ENV-TIME)")
    parser.add_argument(
        "--episodes", type=int, default=100, help="evaluation episodes per agent at the end (default 100)"
    )
    checkpoint_argument(parser)


def checkpoint_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--checkpoint-every", type=float, default=10.0, metavar="SECONDS", help="between checkpoints (default 10)"
    )


def run_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="DIR", type=Path, help="a run directory")


def resume_arguments(parser: argparse.ArgumentParser) -> None:
    run_argument(parser)
    checkpoint_argument(parser)


def evaluate_arguments(parser: argparse.ArgumentParser) -> None:
    run_argument(parser)
    parser.add_argument("--episodes", type=int, default=100, help="per agent and mode (default 100)")
    parser.add_argument("--seed", type=int, default=0, help="of the episodes (default 0)")


def watch_arguments(parser: argparse.ArgumentParser) -> None:
    run_argument(parser)
    parser.add_argument("--agent", type=int, default=0, help="which of the run's agents, from 0 (default 0)")
    parser.add_argument("--sampled", action="store_true", help="draw actions from the policy instead of the best one")
    parser.add_argument("--seed", type=int, default=0, help="of the episodes (default 0)")
    parser.add_argument("--episodes", type=int, default=1, help="how many (default 1)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="the GIF (default DIR/watch.gif)")
    parser.add_argument(
        "--terminal",
        action=argparse.BooleanOptionalAction,
        help="play it in the terminal too (default: where standard error is one)",
    )


def list_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", nargs="?", choices=["envs", "algorithms"], help="only these")


COMMANDS: dict[str, tuple[Callable, str, Callable]] = {
    "list": (list_names, "the worlds and algorithms there are", list_arguments),
    "train": (train, "train an algorithm on a world, several seeds at once", train_arguments),
    "resume": (resume, "continue a run that was stopped or killed", resume_arguments),
    "evaluate": (evaluate, "play whole episodes with a trained policy", evaluate_arguments),
    "watch": (watch, "see a trained policy play: a GIF, and in the terminal", watch_arguments),
}
