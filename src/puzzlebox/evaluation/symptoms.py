"""What a run's settings and logged metrics say about what went wrong: pure functions, one per symptom.

Every function takes the run's config and ``rows``, the lines of metrics.jsonl, and returns a list of findings, empty
where there is nothing to say. Its name and one line go into `CHECKS`, which the doctor walks through. Thresholds are
rules of thumb, except where a source is named.
"""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import numpy as np

from puzzlebox.algorithms import algorithm_class
from puzzlebox.envs import make
from puzzlebox.envs.own import is_own
from puzzlebox.envs.six_terms import TERMS
from puzzlebox.fields import params
from puzzlebox.types import Timed, Weighted

MUST_BE_NUMBERS = ("loss", "policy_loss", "value_loss", "grad_norm", "entropy", "approximate_kl", "reward", "kl")
FEWEST_POINTS = 8  # fewer cannot show a trend


class Finding(NamedTuple):
    """``severity``: error, warning or note; ``value``: what was measured; ``do``: the way out."""

    severity: str
    check: str
    what: str
    value: Any
    do: str


def series(rows: list[dict[str, Any]], name: str) -> np.ndarray:
    """The metric's points ``[P, A]``, NaN where none was logged; empty where the run does not log it."""
    points = [row[name] for row in rows if isinstance(row.get(name), list)]
    return np.array(points, dtype=np.float64) if points else np.zeros((0, 0))


def ends(values: np.ndarray) -> tuple[float, float]:
    """The means of the first and of the last quarter of the points, over all agents."""
    quarter = max(1, len(values) // 4)
    return float(np.nanmean(values[:quarter])), float(np.nanmean(values[-quarter:]))


def no_numbers(config: dict[str, Any], rows: list[dict[str, Any]]) -> list[Finding]:
    """A metric that ends as NaN: the parameters are lost."""
    lost = []
    for name in MUST_BE_NUMBERS:
        values = series(rows, name)
        if values.size and not np.isfinite(values[-1]).all():
            lost.append(name)
    if not lost:
        return []
    do = "lower --learning-rate, and train again: a NaN never goes away"
    return [Finding("error", "NaN", f"{', '.join(lost)} ended as no number", lost, do)]


def few_seeds(config: dict[str, Any], rows: list[dict[str, Any]]) -> list[Finding]:
    """Too few seeds to tell luck from skill."""
    if config["seeds"] >= 3:
        return []
    do = "add --seeds 3 or more before believing a comparison"
    return [Finding("note", "seeds", "one or two seeds cannot tell skill from luck", config["seeds"], do)]


def flat_return(config: dict[str, Any], rows: list[dict[str, Any]]) -> list[Finding]:
    """The return or reward of the last quarter is not above that of the first by two standard errors."""
    for name in ("episode_return", "reward"):
        values = series(rows, name)
        if len(values) < FEWEST_POINTS:
            continue
        points = np.array([row.mean() for row in (v[np.isfinite(v)] for v in values) if row.size])
        quarter = len(points) // 4
        if quarter < 2:
            continue
        first, last = points[:quarter], points[-quarter:]
        if name == "reward" and first.mean() >= 0.95:
            continue
        error = np.sqrt((first.var(ddof=1) + last.var(ddof=1)) / quarter)
        rise = float(last.mean() - first.mean())
        told = [round(float(first.mean()), 4), round(float(last.mean()), 4)]
        if rise < -2 * error:
            do = "lower --learning-rate; look at the learning curve for where it broke"
            return [Finding("warning", "return falls", f"the {words(name)} fell", told, do)]
        if rise <= 2 * error:
            do = "train longer, raise --learning-rate, or see whether the reward is ever earned"
            return [Finding("warning", "return flat", f"the {words(name)} has not risen since the start", told, do)]
    return []


def groups_without_variance(config: dict[str, Any], rows: list[dict[str, Any]]) -> list[Finding]:
    """Groups whose completions all earn the same: their advantages are 0, so they teach nothing."""
    values = series(rows, "frac_reward_zero_std")
    if not values.size:
        return []
    share = ends(values)[1]
    if share <= 0.5:
        return []
    reward = ends(series(rows, "reward"))[1]
    if reward > 0.5:
        do = "the task is nearly solved: stop, or choose a harder level"
    else:
        do = "the task is too hard as yet: train sft first, choose an easier level, or raise --group-size"
    what = f"{share:.0%} of the groups earn the same reward for every completion and teach nothing"
    return [Finding("warning", "groups without variance", what, round(share, 4), do)]


def first_update_drifts(config: dict[str, Any], rows: list[dict[str, Any]]) -> list[Finding]:
    """With one update per iteration policy and sampler are the same model, so their divergence must be 0."""
    values, options = series(rows, "approximate_kl"), config["hyperparameters"]
    if not values.size or options.get("num_epochs") != 1 or options.get("num_minibatches") != 1:
        return []
    drift = float(np.nanmax(np.abs(values)))
    if drift < 1e-4:
        return []
    do = "sampler and trainer disagree about log-probabilities; report it, with the model's name"
    what = "the policy differs from the sampler before its first update"
    return [Finding("error", "sampler and trainer", what, drift, do)]


def divergence_grows(config: dict[str, Any], rows: list[dict[str, Any]]) -> list[Finding]:
    """The distance from the starting model keeps growing."""
    values = series(rows, "kl")
    if len(values) < FEWEST_POINTS:
        return []
    early, last = float(np.nanmean(values[len(values) // 4 : len(values) // 2])), ends(values)[1]
    if last < 0.1 or last < 4 * early:
        return []
    do = "raise --kl-coef or lower --learning-rate, and read some completions: the reward may be gamed"
    what = "the divergence from the starting model keeps growing"
    return [Finding("warning", "KL grows", what, [round(early, 4), round(last, 4)], do)]


def entropy_collapses(config: dict[str, Any], rows: list[dict[str, Any]]) -> list[Finding]:
    """The entropy has fallen to almost nothing: the policy no longer explores."""
    values = series(rows, "entropy")
    if len(values) < FEWEST_POINTS or ("reward" not in rows[-1] and "episode_return" not in rows[-1]):
        return []
    first, last = ends(values)
    if first < 0.02 or not 0 <= last <= 0.05 * first:  # that of a Gaussian may be below 0
        return []
    do = "lower --learning-rate, or give entropy a price (--entropy-coef), unless the task is solved"
    what = "entropy collapsed: the policy tries nothing new"
    return [Finding("warning", "entropy", what, [round(first, 4), round(last, 5)], do)]


def cut_off(config: dict[str, Any], rows: list[dict[str, Any]]) -> list[Finding]:
    """Most completions do not come to an end."""
    values = series(rows, "completions/cut_off")
    share = ends(values)[1] if values.size else 0.0
    if share <= 0.5:
        return []
    do = "raise --max-tokens, or train sft first, so that the model learns to stop"
    what = f"{share:.0%} of the completions are cut off before they end"
    return [Finding("warning", "cut off", what, round(share, 4), do)]


def empty_completions(config: dict[str, Any], rows: list[dict[str, Any]]) -> list[Finding]:
    """The model writes hardly anything but its stop token."""
    values = series(rows, "completions/mean_length")
    if not values.size or ends(values)[1] >= 1.2:
        return []
    do = "look at the reward of the empty text, and at the prompts' form (puzzlebox generate)"
    what = "completions are empty: little more than the stop token is written"
    return [Finding("warning", "empty completions", what, round(ends(values)[1], 3), do)]


def chosen_falls(config: dict[str, Any], rows: list[dict[str, Any]]) -> list[Finding]:
    """Both texts become less likely, the rejected one more so: a preference loss rewards the gap alone."""
    values = series(rows, "logps/chosen")
    if len(values) < FEWEST_POINTS:
        return []
    first, last = ends(values)
    if first - last < max(1.0, 0.05 * abs(first)):
        return []
    do = "lower --learning-rate, raise --beta, or train sft on the chosen texts first; only the gap is being learned"
    what = "the chosen texts become less likely too"
    return [Finding("warning", "chosen falls", what, [round(first, 3), round(last, 3)], do)]


def kto_balance(config: dict[str, Any], rows: list[dict[str, Any]]) -> list[Finding]:
    """Wanted and unwanted completions should weigh about the same."""
    values, options = series(rows, "frac_desirable"), config["hyperparameters"]
    if not values.size or "desirable_weight" not in options:
        return []
    wanted = float(np.nanmean(values))
    return unbalanced(wanted, options["desirable_weight"], options["undesirable_weight"])


def unbalanced(wanted: float, desirable: float = 1.0, undesirable: float = 1.0) -> list[Finding]:
    """The rule that weight × number of the wanted is 1 to 4/3 times that of the unwanted, with some slack.

    Source: Ethayarajh et al. 2024 (KTO), arXiv 2402.01306, section 4.2.
    """
    weights = desirable * wanted, undesirable * (1 - wanted)
    ratio = weights[0] / weights[1] if weights[1] else float("inf")
    if 0.7 <= ratio <= 1.9:
        return []
    if 0 < wanted < 1:
        flag = (
            f"--desirable-weight {undesirable * (1 - wanted) / wanted:.3g}"
            if ratio < 1
            else f"--undesirable-weight {desirable * wanted / (1 - wanted):.3g}"
        )
        do = f"train with {flag}, so that both sides weigh the same"
    else:
        do = "give examples of both"
    what = f"{wanted:.0%} of the completions are wanted; weighted they count {ratio:.2g} times the unwanted"
    return [Finding("warning", "KTO balance", what, round(ratio, 4), do)]


def clips_much(config: dict[str, Any], rows: list[dict[str, Any]]) -> list[Finding]:
    """Updates so large that most of them are cut."""
    values = series(rows, "clip_fraction")
    if not values.size or ends(values)[1] <= 0.4:
        return []
    share, do = ends(values)[1], "lower --learning-rate, or make fewer passes (--num-epochs)"
    return [Finding("warning", "clipping", f"{share:.0%} of the updates are clipped", round(share, 4), do)]


def options_without_effect(config: dict[str, Any], rows: list[dict[str, Any]]) -> list[Finding]:
    """Settings that change nothing, because of another one."""
    options = config["hyperparameters"]
    if is_own(config["algorithm"]):  # its code would have to run
        return []
    default = {name: field.default for name, field in params(algorithm_class(config["algorithm"])).items()}
    given = {name for name, value in options.items() if name in default and value != default[name]}
    found = []

    def idle(name: str, why: str, do: str) -> None:
        """Notes that an option has no effect."""
        flag = f"--{name.replace('_', '-')}"
        found.append(Finding("warning", "no effect", f"{flag} {options[name]} has no effect: {why}", options[name], do))

    # options that another one switches off
    for name in ("lora_alpha", "lora_targets"):
        if name in given and not options["lora_rank"]:
            idle(name, "lora_rank is 0, which trains every weight", "add --lora-rank 16, or leave it out")
    if "clip_high" in given and options["clip_high"] == options["clip_ratio"]:
        idle("clip_high", "it equals clip_ratio", "leave it out, or raise it (DAPO: 0.28)")
    once = options.get("num_epochs") == 1 and options.get("num_minibatches") == 1
    for name in ("clip_ratio", "clip_high"):
        if name in given and once and (name != "clip_high" or options[name] != options["clip_ratio"]):
            why = "with one update per iteration the policy is still the sampler, so nothing is ever clipped"
            idle(name, why, "add --num-epochs 2 or --num-minibatches 2, or leave it out")
    if "kl_horizon" in given and not options["kl_target"]:
        idle("kl_horizon", "kl_target is 0, so the penalty stays as it is", "add --kl-target 6, or leave it out")
    if "label_smoothing" in given and options.get("loss") == "hinge":
        idle("label_smoothing", "the hinge loss knows none", "choose --loss sigmoid or robust, or leave it out")

    # combinations that are seldom meant
    if options.get("average") == "fixed" and options.get("scale"):
        do = "Dr. GRPO is --scale false --average fixed"
        what = "--average fixed is Dr. GRPO's, but the advantages are still divided by their standard deviation"
        found.append(Finding("note", "half a method", what, "scale true", do))
    if options.get("learning_rate") == 0:
        found.append(
            Finding("error", "no effect", "nothing is learned: learning_rate is 0", 0, "raise --learning-rate")
        )
    updates = config["steps"] * options.get("num_epochs", 1) * options.get("num_minibatches", 1)
    if options.get("warmup", 0) >= updates:
        do = f"lower --warmup, or raise --steps above {options['warmup']}"
        what = f"the learning rate is still rising when training ends after {updates} updates"
        found.append(Finding("warning", "warm-up", what, options["warmup"], do))
    if options.get("reward_model") and options.get("kl_coef") == 0:
        what = "a learned reward without a KL penalty will be gamed"
        found.append(Finding("warning", "reward hacking", what, 0, "add --kl-coef 0.05"))
    return found


def terms_paid(config: dict[str, Any], rows: list[dict[str, Any]]) -> list[Finding]:
    """How much of the reward each of its terms is, signs dropped; and those that never paid though they weigh."""
    logged = {name: series(rows, name) for name in TERMS}
    if not all(values.size for values in logged.values()):
        return []
    paid = {name: ends(np.abs(values))[1] for name, values in logged.items()}
    whole = sum(paid.values())
    shares = {name: value / whole for name, value in sorted(paid.items(), key=lambda item: -item[1]) if value}
    told = ", ".join(f"{words(name)} {share:.0%}" for name, share in shares.items() if share >= 0.005)
    found = []
    if whole:
        do = "see whether what should matter most pays most; weights are options of the world"
        what = f"of what was paid or taken at the end of training: {told}"
        found.append(Finding("note", "reward terms", what, {n: round(v, 4) for n, v in shares.items()}, do))
    world = make(config["env"])
    weights = dataclasses.asdict(world.weights) if isinstance(world, Weighted) and world.weights else {}
    for name, values in logged.items():
        if weights.get(name) and not np.nan_to_num(values).any():
            do = f"nothing was learned from it: raise it, train longer, or set {name}=0"
            found.append(Finding("warning", "silent term", f"{words(name)} never paid anything", 0, do))
    return found


def hacked(config: dict[str, Any], rows: list[dict[str, Any]]) -> list[Finding]:
    """The return rises while the goal of the world is reached no more often."""
    success, paid = series(rows, "success"), series(rows, "episode_return")
    if len(success) < FEWEST_POINTS or len(paid) < FEWEST_POINTS:
        return []
    points = np.nanmean(paid, axis=1)
    quarter = len(points) // 4
    error = np.sqrt((points[:quarter].var(ddof=1) + points[-quarter:].var(ddof=1)) / quarter)
    returns, reached = ends(paid), ends(success)
    if returns[1] - returns[0] <= 2 * error or reached[1] > 0.5 or reached[1] - reached[0] > 0.05:
        return []
    what = f"the return rose from {returns[0]:.3g} to {returns[1]:.3g} while the goal was reached in {reached[1]:.0%}"
    do = "watch it (puzzlebox watch); what is paid is not what is wanted: change the weights of the reward"
    return [Finding("warning", "reward hacking", what, [round(x, 4) for x in (*returns, *reached)], do)]


def cut_by_the_clock(config: dict[str, Any], rows: list[dict[str, Any]]) -> list[Finding]:
    """Episodes that time ends, in a world whose goal is seldom reached."""
    success, lengths = series(rows, "success"), series(rows, "episode_length")
    if len(success) < FEWEST_POINTS or ends(success)[1] > 0.5:
        return []
    world, length = make(config["env"]), ends(lengths)[1]
    limit = world.time_limit if isinstance(world, Timed) else 0
    if not limit or length < 0.9 * limit:
        return []
    what = f"episodes last {length:.0f} of at most {limit} steps, and the goal is reached in {ends(success)[1]:.0%}"
    do = f"if the goal needs longer, raise time_limit={limit}; otherwise see what the agent does meanwhile"
    return [Finding("warning", "cut by the clock", what, round(length, 1), do)]


def words(name: str) -> str:
    """A metric's name for a sentence."""
    return name.replace("_", " ")


CHECKS = {
    "numbers": no_numbers,
    "seeds": few_seeds,
    "return": flat_return,
    "group variance": groups_without_variance,
    "first update": first_update_drifts,
    "divergence": divergence_grows,
    "entropy": entropy_collapses,
    "cut off": cut_off,
    "length": empty_completions,
    "chosen": chosen_falls,
    "balance": kto_balance,
    "clipping": clips_much,
    "options": options_without_effect,
    "reward terms": terms_paid,
    "success": hacked,
    "time limit": cut_by_the_clock,
}
