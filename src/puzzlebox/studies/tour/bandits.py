"""The bandit: how much exploring is right, measured as regret."""

from __future__ import annotations

from puzzlebox.evaluation.compare import number, span
from puzzlebox.pictures.page import Check, Equation, Picture, Table, Tile
from puzzlebox.studies.bandit import bandit
from puzzlebox.studies.tour.chapter import Chapter, Context

ARMS = 10


def bandits(context: Context) -> Chapter:
    """Regret of no, fixed and decaying exploration on ten arms."""
    steps, runs = (1000, 200) if context.quick else (2000, 500)
    result = bandit(ARMS, steps, runs, out=context.folder / "regret")
    found = result["strategies"]
    never, decaying = found["no exploration"], next(v for k, v in found.items() if "decaying" in k)
    fixed = {label: v for label, v in found.items() if label.startswith("ε =")}
    rows = [[label, number(v["regret"]), span(v["regret_ci"]), f"{v['best_arm']:.0%}"] for label, v in found.items()]
    saved = never["regret"] / decaying["regret"]
    return Chapter(
        headline=f"regret {number(never['regret'])} without exploring, {number(decaying['regret'])} with decaying ε",
        blocks=[
            f"One state, {ARMS} arms, each paying at random around a mean that nobody knows: the smallest problem in "
            "which an agent must choose between what looks best now and what might be better. With probability ε it "
            "pulls any arm, otherwise the one with the best average so far.",
            Equation(
                "regret(T) = Σₜ ( μ* − μ(aₜ) )",
                "What was lost against always pulling the best arm. A straight line means: it never stops losing. A "
                "line that bends means: it has found out.",
            ),
            Picture(
                context.folder / "regret.svg",
                "Cumulative regret of every way to explore",
                f"Mean of {runs} runs with their own arms; band: 95% interval.",
            ),
            f"Never exploring settles on the first arm that paid well, right or wrong. A fixed ε finds the best arm "
            f"but goes on wasting its random pulls for ever. An ε that starts high and falls as {ARMS}/t does both: it "
            f"looks around early, and its regret is {saved:.1f} times smaller than without exploring. This is why ε "
            f"falls while Q-learning trains. UCB1, which prefers the arms it knows least about, is shown for "
            "comparison.",
            Table(["exploration", f"regret after {steps:,} pulls", "95% interval", "best arm, last tenth"], rows),
        ],
        checks=[
            Check(
                "Exploring pays: the interval of the decaying ε lies below that of no exploration",
                decaying["regret_ci"][1] < never["regret_ci"][0],
            ),
            Check(
                f"Decaying beats every fixed ε ({', '.join(fixed)}), intervals apart",
                all(decaying["regret_ci"][1] < v["regret_ci"][0] for v in fixed.values()),
            ),
        ],
        protocol=f"{runs} runs of {steps:,} pulls; every run draws {ARMS} means from N(0, 1), rewards are N(mean, 1), "
        f"all strategies meet the same arms; seed 0; 95% bootstrap intervals of the mean over runs.",
        commands=[f"puzzlebox bandit --arms {ARMS} --steps {steps} --runs {runs}"],
        figures={
            "steps": steps,
            "runs": runs,
            "strategies": {label: {k: v[k] for k in ("regret", "regret_ci", "best_arm")} for label, v in found.items()},
        },
        tiles=[Tile(f"{saved:.1f}×", "less regret on a bandit when ε decays, against not exploring")],
    )
