"""The commands for every algorithm; see `commands`."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any


def train(arguments: argparse.Namespace) -> dict[str, Any]:
    from puzzlebox.evaluation import report
    from puzzlebox.training import train

    fields = {
        k.removeprefix("field_"): v for k, v in vars(arguments).items() if k.startswith("field_") and v is not None
    }
    figures = train.train(
        arguments.algorithm,
        chosen_rows(arguments.env, arguments.skip_bad),
        seeds=arguments.seeds,
        seed=arguments.seed,
        run=arguments.run,
        episodes=arguments.episodes,
        checkpoint_every=arguments.checkpoint_every,
        minutes=arguments.minutes,
        **fields,
    )
    return report.show(figures, arguments.json)


def resume(arguments: argparse.Namespace) -> dict[str, Any]:
    from puzzlebox.evaluation import report
    from puzzlebox.training import train

    return report.show(train.resume(arguments.run, checkpoint_every=arguments.checkpoint_every), arguments.json)


def chosen_rows(name: str, skip_bad: bool) -> str:
    """The world, task or file called ``name``; of a file without its broken rows where that is wished."""
    from puzzlebox.data.text_worlds import skipping_bad

    return skipping_bad(name) if skip_bad else name


def evaluate(arguments: argparse.Namespace) -> dict[str, Any]:
    from puzzlebox.evaluation import evaluate, language_evaluation, report, subjects
    from puzzlebox.scale import backend

    arguments.task = chosen_rows(arguments.task, arguments.skip_bad)
    asked = {name: getattr(arguments, name) for name in ("task", "shots", "samples", "temperature", "text")}
    if subjects.writes(arguments.run):
        backend.prepare()
        figures = language_evaluation.evaluate_model(
            arguments.run,
            problems=100 if arguments.episodes is None else arguments.episodes,
            seed=arguments.seed,
            **asked,
        )
        return report.show(figures, arguments.json)
    subjects.check_only_for_language(arguments.run, asked)
    return report.show(
        evaluate.evaluate(arguments.run, episodes=arguments.episodes, seed=arguments.seed), arguments.json
    )


def winrate(arguments: argparse.Namespace) -> dict[str, Any]:
    from puzzlebox.evaluation import winrate
    from puzzlebox.scale import backend

    backend.prepare()
    figures = winrate.winrate(
        arguments.a,
        arguments.b,
        task=chosen_rows(arguments.task, arguments.skip_bad),
        judge=arguments.judge,
        temperature=arguments.temperature,
        problems=arguments.episodes,
        seed=arguments.seed,
    )
    if not arguments.json:
        print("\n".join(winrate.summary_lines(figures)))
    return figures


def doctor(arguments: argparse.Namespace) -> dict[str, Any]:
    from puzzlebox.evaluation import doctor
    from puzzlebox.scale import backend

    backend.prepare()
    figures = doctor.doctor(arguments.subject, model=arguments.model)
    if not arguments.json:
        print("\n".join(doctor.summary_lines(figures)))
    return figures


def watch(arguments: argparse.Namespace) -> dict[str, Any]:
    from puzzlebox.pictures import watch

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
        print("\n".join(watch.summary_lines(figures)))
    return figures


def solve(arguments: argparse.Namespace) -> dict[str, Any]:
    from puzzlebox.scale import backend
    from puzzlebox.studies import solve

    backend.prepare()
    answer = solve.solve(
        arguments.env,
        discount=arguments.gamma,
        method=arguments.method,
        tolerance=arguments.tolerance,
        out=arguments.out,
        policy=arguments.policy,
        paths=tuple(arguments.path),
    )
    if not arguments.json:
        print(solve.solution_text(answer))
    return answer


def compare(arguments: argparse.Namespace) -> dict[str, Any]:
    from puzzlebox.evaluation import compare
    from puzzlebox.pictures import plots

    result = compare.compare(arguments.runs, mode="sampled" if arguments.sampled else "greedy")
    if arguments.out:
        curves = plots.plot_runs(arguments.runs, arguments.out / "curves.png")
        scores = plots.plot_scores(arguments.runs, arguments.out / "scores.png", result["mode"])
        result["pictures"] = [str(path) for path in (*curves, *scores)]
    if not arguments.json:
        print("\n".join([result["sentence"], *result.get("pictures", [])]))
    return result


def plot(arguments: argparse.Namespace) -> dict[str, Any]:
    from puzzlebox.pictures import plots

    pictures = [str(path) for run in arguments.runs for path in plots.plot_run(run, arguments.metric)]
    if not arguments.metric:
        pictures += [str(path) for run in arguments.runs for path in plots.plot_model(run)]
    if not arguments.json:
        print("\n".join(pictures))
    return {"pictures": pictures}


def bandit(arguments: argparse.Namespace) -> dict[str, Any]:
    from puzzlebox.studies.bandit import bandit

    result = bandit(
        arguments.arms,
        arguments.steps,
        arguments.runs,
        epsilons=tuple(arguments.epsilon),
        noise=arguments.noise,
        seed=arguments.seed,
        to=arguments.out,
    )
    if not arguments.json:
        for label, figures in result["strategies"].items():
            low, high = figures["regret_ci"]
            interval = f"(95% interval {low:.1f} to {high:.1f})"
            print(f"{label:20} regret {figures['regret']:7.1f} {interval:32} best arm {figures['best_arm']:.0%}")
        print("\n".join(result["pictures"]))
    return result


def tour(arguments: argparse.Namespace) -> dict[str, Any]:
    from puzzlebox.studies.tour import tour

    chapters = tuple(filter(None, arguments.chapters.split(",")))
    return tour.tour(arguments.quick, arguments.out, chapters)


def list_names(arguments: argparse.Namespace) -> dict[str, Any]:
    from puzzlebox.algorithms import ALGORITHMS, algorithm_class
    from puzzlebox.envs import ENVIRONMENTS, GAMES, PREFIXES
    from puzzlebox.envs.text import PREFIXES as TASK_PREFIXES
    from puzzlebox.envs.text import TASKS, make_task
    from puzzlebox.runs.pretrained import MODELS

    def first_line(name: str) -> str:
        return (algorithm_class(name).__doc__ or "").strip().splitlines()[0]

    def problem(name: str) -> str:
        example = make_task(name).examples("train", 1, 0)[0]
        return f"{example.prompt} → {example.completion}" if example.completion else example.prompt

    lists: dict[str, Any] = {
        "envs": [*ENVIRONMENTS, *GAMES, *(f"{prefix}:…" for prefix in PREFIXES)],
        "algorithms": {name: first_line(name) for name in ALGORITHMS},
        "tasks": {name: problem(name) for name in TASKS}
        | {f"{prefix}:…": text for prefix, text in TASK_PREFIXES.items()},
        "models": MODELS,
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
    parser.add_argument("env", metavar="ENV", help="a world, a language task or a file; see: puzzlebox list")
    parser.add_argument("--seeds", type=int, default=1, help="how many agents to train at once (default 1)")
    parser.add_argument("--seed", type=int, default=0, help="the first seed (default 0)")
    parser.add_argument("--run", type=Path, help="the run directory (default runs/ALGORITHM-ENV-TIME)")
    parser.add_argument(
        "--episodes", type=int, help="evaluation episodes per agent at the end (default 100, in a simulator 8)"
    )
    parser.add_argument(
        "--minutes", type=float, metavar="M", help="stop after M minutes of training, however far it is"
    )
    skip_bad_argument(parser)
    checkpoint_argument(parser)


def skip_bad_argument(parser: argparse._ActionsContainer, whose: str = "a file") -> None:
    parser.add_argument("--skip-bad", action="store_true", help=f"leave the broken rows of {whose} out, and count them")


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
    parser.add_argument("run", metavar="DIR_OR_MODEL", type=Path, help="a run directory, or a language model")
    parser.add_argument("--episodes", type=int, help="per agent and mode, or problems (default 100, in a simulator 8)")
    parser.add_argument("--seed", type=int, default=0, help="of the episodes (default 0)")
    group = parser.add_argument_group("language models")
    group.add_argument("--task", default="", help="held-out problems of this task (default: the run's own)")
    skip_bad_argument(group, "a --task FILE")
    group.add_argument("--shots", type=int, default=0, help="worked examples before each problem (default 0)")
    group.add_argument("--samples", type=int, default=1, help="completions per problem, for pass@k (default 1)")
    group.add_argument("--temperature", type=float, help="of sampling (default: greedy for one sample, 1 for several)")
    group.add_argument("--text", default="", metavar="FILE", help="also the perplexity of this .txt file")


def winrate_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("a", metavar="DIR_A", help="a run or a language model")
    parser.add_argument("b", metavar="DIR_B", help="what it is held against")
    parser.add_argument("--task", default="", help="whose held-out prompts both answer (default: that of the runs)")
    skip_bad_argument(parser, "a --task FILE")
    parser.add_argument(
        "--judge",
        default="verifier",
        help="verifier (default), a run of reward_model, or a server: http://HOST/v1,model=NAME (key: OPENAI_API_KEY)",
    )
    parser.add_argument("--temperature", type=float, default=0.0, help="of sampling (default 0, the likeliest answer)")
    parser.add_argument("--episodes", type=int, default=100, help="prompts per agent (default 100)")
    parser.add_argument("--seed", type=int, default=0, help="which prompts (default 0)")


def doctor_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("subject", metavar="DIR_MODEL_OR_FILE", help="a run, a language model, or a file of rows")
    parser.add_argument("--model", default="", help="whose context and tokenizer the rows of a file must fit")


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


def solve_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("env", metavar="ENV", help="a world with known transitions, options after commas")
    parser.add_argument("--gamma", type=float, default=0.99, help="γ, the weight of the next reward (default 0.99)")
    parser.add_argument(
        "--method",
        default="modified_policy_iteration",
        help="value_iteration, policy_iteration, modified_policy_iteration (default) or, for huge worlds, "
        "ordered_value_iteration",
    )
    parser.add_argument("--tolerance", type=float, default=1e-6, help="no value errs by more (default 1e-6)")
    parser.add_argument("--out", type=Path, metavar="DIR", help="draw policy, values and Q values here")
    parser.add_argument("--policy", help="is this policy optimal? moves row by row, e.g. 'EESW…'")
    parser.add_argument(
        "--path", action="append", default=[], help="what does this path bring? moves such as EENN; repeat to compare"
    )


def compare_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("runs", metavar="DIR", type=Path, nargs="+", help="run directories on the same world")
    parser.add_argument("--sampled", action="store_true", help="compare sampled instead of greedy play")
    parser.add_argument("--out", type=Path, metavar="DIR", help="draw curves and score intervals here")


def plot_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("runs", metavar="DIR", type=Path, nargs="+", help="run directories")
    parser.add_argument("--metric", default="", help="a name in metrics.jsonl (default: the return, reward or loss)")


def bandit_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--arms", type=int, default=10, help="number of arms (default 10)")
    parser.add_argument("--steps", type=int, default=1000, help="pulls of one run (default 1000)")
    parser.add_argument("--runs", type=int, default=200, help="runs, each with arms of its own (default 200)")
    parser.add_argument(
        "--epsilon",
        type=float,
        nargs="+",
        default=[0.01, 0.1],
        help="the fixed shares of random pulls (default 0.01 0.1)",
    )
    parser.add_argument("--noise", default="gaussian", help="how an arm pays: gaussian (default) or bernoulli")
    parser.add_argument("--seed", type=int, default=0, help="draws arms and pulls (default 0)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="draw the regret into FILE.png and FILE.svg")


def tour_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--quick", action="store_true", help="with fewer episodes and contestants: 90 seconds at most")
    parser.add_argument(
        "--out", type=Path, default=Path("tour"), metavar="DIR", help="the report's folder (default tour)"
    )
    parser.add_argument("--chapters", default="", metavar="NAME,…", help="only these")


def list_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", nargs="?", choices=["envs", "algorithms", "tasks", "models"], help="only these")


COMMANDS: dict[str, tuple[Callable, str, Callable]] = {
    "tour": (tour, "the whole story on this machine, ends in a report page", tour_arguments),
    "list": (list_names, "the worlds, algorithms, language tasks and models there are", list_arguments),
    "solve": (solve, "exact values and policy of a world with known transitions", solve_arguments),
    "bandit": (bandit, "what exploring too little, too much and just enough loses on a bandit", bandit_arguments),
    "train": (train, "train an algorithm on a world, several seeds at once", train_arguments),
    "resume": (resume, "continue a run that was stopped or killed", resume_arguments),
    "evaluate": (evaluate, "play whole episodes with a trained policy", evaluate_arguments),
    "winrate": (winrate, "how often one language model answers better than another", winrate_arguments),
    "compare": (compare, "does one run beat another, or can they not be told apart?", compare_arguments),
    "doctor": (doctor, "what is wrong with a run, a language model or a file, and what to do", doctor_arguments),
    "plot": (plot, "draw learning curves", plot_arguments),
    "watch": (watch, "see a trained policy play: a GIF, and in the terminal", watch_arguments),
}
