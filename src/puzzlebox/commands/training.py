"""The commands for every algorithm."""

from __future__ import annotations

from pathlib import Path

from puzzlebox.commands.command import Command, Flag, seed, several, switch, under

RUN = Flag("run", "a run directory", Path, metavar="DIR")
CHECKPOINT_EVERY = Flag("--checkpoint-every", "between checkpoints", float, metavar="SECONDS", default="10")
REPORT = "puzzlebox.evaluation.report:summary_lines"


def skip_bad(whose: str = "a file") -> Flag:
    """The flag ``--skip-bad``."""
    return switch("--skip-bad", f"leave the broken rows of {whose} out, and count them")


COMMANDS = {
    "tour": Command(
        "puzzlebox.studies.tour.tour:tour",
        "the whole story on this machine, ends in a report page",
        (
            switch("--quick", "with fewer episodes and contestants: 90 seconds at most"),
            Flag("--out", "the report's folder", Path, metavar="DIR", default="tour"),
            Flag("--chapters", "only these", several, metavar="NAME,…"),
        ),
        show="",
    ),
    "list": Command(
        "puzzlebox.runs.catalogue:list_names",
        "the worlds, algorithms, language tasks and models there are",
        (Flag("what", "only these", nargs="?", choices=("envs", "algorithms", "tasks", "models")),),
        python="list_names",  # a list is something else there
    ),
    "solve": Command(
        "puzzlebox.studies.solve:solve",
        "exact values and policy of a world with known transitions",
        (
            Flag("env", "a world with known transitions, options after commas"),
            Flag(
                "--gamma",
                "γ, the weight of the next reward",
                float,
                "0.99",
                parameter="discount",
                also=("--discount",),
            ),
            Flag(
                "--method",
                "value_iteration, policy_iteration, modified_policy_iteration or, for huge worlds, "
                "ordered_value_iteration",
                default="modified_policy_iteration",
            ),
            Flag("--tolerance", "no value errs by more", float, default="1e-6"),
            Flag("--out", "draw policy, values and Q values here", Path, metavar="DIR"),
            Flag("--policy", "is this policy optimal? moves row by row, e.g. 'EESW…'"),
            Flag(
                "--path",
                "what does this path bring? moves such as EENN; repeat to compare",
                action="append",
                parameter="paths",
            ),
        ),
    ),
    "bandit": Command(
        "puzzlebox.studies.bandit:bandit",
        "what exploring too little, too much and just enough loses on a bandit",
        (
            Flag("--arms", "number of arms", int, default="10"),
            Flag("--steps", "pulls of one run", int, default="1000"),
            Flag("--runs", "runs, each with arms of its own", int, default="200"),
            Flag(
                "--epsilon",
                "the fixed shares of random pulls",
                float,
                nargs="+",
                parameter="epsilons",
                default="0.01 0.1",
            ),
            Flag("--noise", "how an arm pays: gaussian or bernoulli", default="gaussian"),
            seed("draws arms and pulls"),
            Flag("--out", "draw the regret into FILE.png and FILE.svg", Path, metavar="FILE"),
        ),
    ),
    "train": Command(  # and the hyper-parameters of the algorithm, see `cli`
        "puzzlebox.training.train:train",
        "train an algorithm on a world, several seeds at once",
        (
            Flag("algorithm", "see: puzzlebox list algorithms"),
            Flag("env", "a world, a language task or a file; see: puzzlebox list"),
            Flag("--seeds", "how many agents to train at once", int, default="1"),
            seed("the first seed"),
            Flag("--run", "the run directory (default: runs/ALGORITHM-ENV-TIME)", Path),
            Flag("--episodes", "evaluation episodes per agent at the end (default: 100, in a simulator 8)", int),
            Flag("--minutes", "stop after M minutes of training, however far it is", float, metavar="M"),
            skip_bad(),
            CHECKPOINT_EVERY,
        ),
        show=REPORT,
    ),
    "resume": Command(
        "puzzlebox.training.train:resume",
        "continue a run that was stopped or killed",
        (
            RUN,
            Flag("--steps", "go on for longer, to N steps in all (default: as were asked for)", int, metavar="N"),
            CHECKPOINT_EVERY,
        ),
        show=REPORT,
    ),
    "evaluate": Command(
        "puzzlebox.evaluation.evaluate:evaluate",
        "play whole episodes with a trained policy",
        (
            Flag("run", "a run directory, or a language model", Path, metavar="DIR_OR_MODEL"),
            Flag("--episodes", "per agent and mode, or problems (default: 100, in a simulator 8)", int),
            seed("of the episodes"),
            *under(
                "language models",
                Flag("--task", "held-out problems of this task (default: the run's own)"),
                skip_bad("a --task FILE"),
                Flag("--shots", "worked examples before each problem", int, default="0"),
                Flag("--samples", "completions per problem, for pass@k", int, default="1"),
                Flag("--temperature", "of sampling (default: greedy for one sample, 1 for several)", float),
                Flag("--text", "also the perplexity of this .txt file", metavar="FILE"),
            ),
        ),
        show=REPORT,
    ),
    "winrate": Command(
        "puzzlebox.evaluation.winrate:winrate",
        "how often one language model answers better than another",
        (
            Flag("a", "a run or a language model", metavar="DIR_A"),
            Flag("b", "what it is held against", metavar="DIR_B"),
            Flag("--task", "whose held-out prompts both answer (default: that of the runs)"),
            skip_bad("a --task FILE"),
            Flag(
                "--judge",
                "verifier, a run of reward_model, or a server: http://HOST/v1,model=NAME (key: OPENAI_API_KEY)",
                default="verifier",
            ),
            Flag("--temperature", "of sampling; 0 takes the likeliest answer", float, default="0"),
            Flag("--episodes", "prompts per agent", int, default="100"),
            seed("which prompts"),
        ),
    ),
    "compare": Command(
        "puzzlebox.pictures.comparison:compare",
        "does one run beat another, or can they not be told apart?",
        (
            Flag("runs", "run directories on the same world", Path, nargs="+", metavar="DIR"),
            switch("--sampled", "compare sampled instead of greedy play"),
            Flag("--out", "draw curves and score intervals here", Path, metavar="DIR"),
        ),
    ),
    "doctor": Command(
        "puzzlebox.evaluation.doctor:doctor",
        "what is wrong with a run, a language model or a file, and what to do",
        (
            Flag("subject", "a run, a language model, or a file of rows", metavar="DIR_MODEL_OR_FILE"),
            Flag("--model", "whose context and tokenizer the rows of a file must fit"),
        ),
    ),
    "plot": Command(
        "puzzlebox.pictures.plots:plot",
        "draw learning curves",
        (
            Flag("runs", "run directories", Path, nargs="+", metavar="DIR"),
            Flag("--metric", "a name in metrics.jsonl (default: the return, reward or loss)"),
            *under(
                "one figure of all runs",
                Flag("--out", "where it goes, a .pdf, .svg or .png", Path, metavar="FILE"),
                Flag("--smooth", "every point is the mean of the last N", int, metavar="N", default="1"),
                switch("--log", "a logarithmic axis of values"),
                Flag("--title", "instead of the name of the world", metavar="TEXT"),
            ),
        ),
    ),
    "watch": Command(
        "puzzlebox.pictures.watch:watch",
        "see a trained policy play: a GIF, and in the terminal",
        (
            RUN,
            Flag("--agent", "which of the run's agents, from 0", int, default="0"),
            switch("--sampled", "draw actions from the policy instead of the best one"),
            seed("of the episodes"),
            Flag("--episodes", "how many", int, default="1"),
            Flag("--out", "the GIF (default: DIR/watch.gif)", Path, metavar="FILE"),
            Flag("--terminal", "play it in the terminal too (default: where standard error is one)", action="yes_no"),
        ),
    ),
}
