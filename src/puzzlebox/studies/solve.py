"""``puzzlebox solve``: a world's exact values and best policy, policies and paths judged, everything drawn."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from puzzlebox.algorithms.tabular.exact import Solution, Unsolvable, check_policy, play_plan
from puzzlebox.algorithms.tabular.modified_policy_iteration import modified_policy_iteration
from puzzlebox.algorithms.tabular.ordered_value_iteration import ordered_value_iteration
from puzzlebox.algorithms.tabular.policy_iteration import policy_iteration
from puzzlebox.algorithms.tabular.value_iteration import value_iteration
from puzzlebox.envs import make_tabular
from puzzlebox.errors import unknown
from puzzlebox.pictures.grid_notation import policy_text, read_path, read_policy, value_text
from puzzlebox.scale import backend
from puzzlebox.types import MDP, Layout

METHODS: dict[str, Callable[[MDP, float, float], Solution]] = {
    "value_iteration": value_iteration,
    "policy_iteration": policy_iteration,
    "modified_policy_iteration": modified_policy_iteration,
    "ordered_value_iteration": ordered_value_iteration,
}
TEXT_LIMIT = 1000  # cells up to which a grid is printed


def solve(
    env: str,
    discount: float = 0.99,
    method: str = "modified_policy_iteration",
    tolerance: float = 1e-6,
    out: str | Path | None = None,
    policy: str | None = None,
    paths: Sequence[str] = (),
) -> dict[str, Any]:
    """Solves the world called ``env`` and returns what ``--json`` prints.

    ``policy`` (see `read_policy`) is answered under ``policy_check``, ``paths`` (see `read_path`) under ``paths``, best
    first in ``best_path``. Pictures go to the folder ``out``, where one is given.

    Raises UsageError for an unknown world or method, one without transitions, or requests that cannot be met.
    """
    backend.prepare()
    if method not in METHODS:
        raise unknown("method", method, METHODS)

    # build the world and read the request
    started = time.perf_counter()
    world = make_tabular(env)
    mdp, layout = world.mdp(), world.layout
    build_seconds = time.perf_counter() - started
    wanted = read_policy(policy, mdp, layout) if policy is not None else None
    plans = [read_path(text, mdp, layout) for text in paths]

    # solve, and judge the given policy
    try:
        solution = METHODS[method](mdp, discount, tolerance)
        check = _judge_policy(mdp, wanted, solution, tolerance) if wanted is not None else None
    except Unsolvable as fault:
        raise fault if layout is None else fault.on_map(len(layout.rows[0])) from None

    # collect
    start = np.asarray(mdp.start)
    answer: dict[str, Any] = {
        "env": env,
        "gamma": discount,
        "method": method,
        "tolerance": tolerance,
        "states": len(solution.values),
        "actions": solution.q_values.shape[1],
        "values": solution.values.tolist(),
        "policy": solution.policy.tolist(),
        "iterations": solution.iterations,
        "residual": solution.residual,
        "error_bound": solution.error_bound,
        "seconds": solution.seconds,
        "compile_seconds": solution.compile_seconds,
        "build_seconds": build_seconds,
        "start_value": float(start @ solution.values),
    }
    if check is not None:
        answer["policy_check"] = check
    if plans:
        answer["paths"] = [_judge_path(mdp, plan, solution, tolerance) for plan in plans]
        returns = [path["expected_return"] for path in answer["paths"]]
        answer["best_path"] = answer["paths"][int(np.argmax(returns))]["path"]

    # draw
    answer["pictures"] = _draw(Path(out), env, layout, solution) if out is not None else []
    return answer


def summary_lines(answer: dict[str, Any]) -> list[str]:
    """The answer for a person: the map with arrows and values, and the judgements in sentences."""
    layout = make_tabular(answer["env"]).layout
    lines = [
        f"{answer['env']}: {answer['states']} states, {answer['actions']} actions, gamma {answer['gamma']:g}",
        f"{answer['method'].replace('_', ' ')}: {answer['iterations']} iterations, {answer['seconds']:.3f} s, "
        f"no value wrong by more than {answer['error_bound']:.1e}",
        f"value of the start: {answer['start_value']:.6g}",
    ]
    if layout is not None and answer["states"] <= TEXT_LIMIT:
        policy, values = np.array(answer["policy"]), np.array(answer["values"])
        lines += ["", *policy_text(layout, policy).splitlines(), "", *value_text(layout, values).splitlines()]
    if "policy_check" in answer:
        lines += ["", answer["policy_check"]["sentence"]]
    if "paths" in answer:
        lines += ["", *(path["sentence"] for path in answer["paths"]), f"best of these: {answer['best_path']}"]
    return [*lines, *(f"picture: {path}" for path in answer["pictures"])]


def _judge_policy(mdp: MDP, policy: np.ndarray, solution: Solution, tolerance: float) -> dict[str, Any]:
    """How good a given policy is, in figures and a sentence; values within 10 tolerances count as equal."""
    check = check_policy(mdp, policy, solution, 10 * tolerance)
    value = float(np.asarray(mdp.start) @ check.values)
    if check.optimal:
        sentence = f"this policy is optimal: {value:.6g} from the start"
    else:
        worst = int(check.loss.argmax())
        wrong = "1 state chooses" if len(check.mistakes) == 1 else f"{len(check.mistakes)} states choose"
        sentence = (
            f"this policy is not optimal: {value:.6g} from the start, {check.start_loss:.6g} less than the best; "
            f"{wrong} wrongly; most is lost from state {worst}: {check.loss[worst]:.6g}"
        )
    return {
        "optimal": check.optimal,
        "values": check.values.tolist(),
        "start_value": value,
        "start_loss": check.start_loss,
        "mistakes": check.mistakes.tolist(),
        "loss": check.loss.tolist(),
        "sentence": sentence,
    }


def _judge_path(mdp: MDP, plan: Any, solution: Solution, tolerance: float) -> dict[str, Any]:
    """What a given path of actions brings, in figures and a sentence, beside the best from the same start."""
    outcome = play_plan(mdp, plan.state, plan.actions, solution.discount)
    best = float(solution.values[plan.state])
    ends = ", ".join(f"{share:.1%} with {reward:g}" for reward, share in sorted(outcome.reward_probability.items()))
    sentence = (
        f"{plan.text}: {outcome.expected_return:.6g} expected in {outcome.expected_steps:.3g} steps"
        f" ({'ends ' + ends if ends else 'does not end'}); the best policy gets {best:.6g} from there"
    )
    return {
        "path": plan.text,
        "start": plan.state,
        "actions": plan.actions,
        "expected_return": outcome.expected_return,
        "expected_steps": outcome.expected_steps,
        "end_probability": outcome.end_probability,
        "end_rewards": {f"{reward:g}": share for reward, share in outcome.reward_probability.items()},
        "best_return": best,
        "optimal": best - outcome.expected_return <= 10 * tolerance,
        "sentence": sentence,
    }


def _draw(folder: Path, name: str, layout: Layout | None, solution: Solution) -> list[str]:
    """Draws the solution into ``folder``; returns the files. Without a map only a histogram of values can be drawn."""
    from puzzlebox.pictures import grid_pictures as pictures

    label = f"{name}, γ = {solution.discount:g}"
    if layout is None:
        figures = {"values": pictures.histogram_picture(solution.values, f"{label}: values")}
    else:
        figures = {
            "policy": pictures.policy_picture(layout, solution.q_values, f"{label}: best policy"),
            "values": pictures.value_picture(layout, solution.values, f"{label}: values"),
            "q_values": pictures.q_picture(layout, solution.q_values, f"{label}: action values"),
        }
    return [str(pictures.save(figure, folder / f"{kind}.png")) for kind, figure in figures.items()]
