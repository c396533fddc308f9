"""The robot in its 5×5 grid: all rules known, everything computed exactly, three candidate paths compared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from puzzlebox.algorithms.tabular.value_iteration import value_iteration
from puzzlebox.envs.grid_drawing import grid_picture
from puzzlebox.pictures import grid_pictures
from puzzlebox.pictures.grid_notation import read_path
from puzzlebox.pictures.page import Check, Equation, Picture, Row, Table, Tile
from puzzlebox.studies.solve import solve
from puzzlebox.studies.tour.chapter import Chapter, Context, grid, signed, tiny

SLIP = 0.2
START = "4,0"
PATHS = {"along the upper edge": "NNNNEEEE", "below the hole": "NNEEEENN", "through the hole": "NNEEENNE"}


def robot(context: Context) -> Chapter:
    """Solves ``grid/robot`` without discount, with sure and with slipping moves."""
    plans = tuple(f"{START}:{moves}" for moves in PATHS.values())
    worlds = {slip: "grid/robot" + (f",slip={slip}" if slip else "") for slip in (0.0, SLIP)}
    solved = {slip: solve(name, 1.0, "value_iteration", paths=plans) for slip, name in worlds.items()}
    sure, slippery = (answer["paths"] for answer in solved.values())
    pictures = _pictures(context.folder, worlds)
    walks = [
        _walk(context.folder, name, plan, f"{name}: return {signed(path['expected_return'])}")
        for (name, plan), path in zip(zip(PATHS, plans, strict=True), sure, strict=True)
    ]
    best, blind = slippery[0]["best_return"], max(path["expected_return"] for path in slippery)
    tied = [name for name, path in zip(PATHS, sure, strict=True) if path["optimal"]]
    safer = list(PATHS)[int(np.argmax([path["expected_return"] for path in slippery]))]
    rows = [
        [
            name,
            signed(one["expected_return"]),
            "yes" if one["optimal"] else "no",
            signed(two["expected_return"]),
            f"{two['end_rewards'].get('-50', 0.0):.1%}",
        ]
        for name, one, two in zip(PATHS, sure, slippery, strict=True)
    ]
    return Chapter(
        headline=f"value of a random start {signed(solved[0.0]['start_value'])}; best paths: {' and '.join(tied)}",
        blocks=[
            "A robot starts anywhere in a 5×5 grid. The goal pays +100, the hole −50, every other step −1, and both "
            "end the episode. These rules are a Markov decision process, and because they are known, nothing has to "
            "be tried out: the value of every cell follows from the values of its neighbours.",
            Equation(
                "V(s) = maxₐ Σₛ′ T(s, a, s′) · [ R(s, a, s′) + γ V(s′) ]",
                "Bellman's equation. Value iteration applies it to all cells again and again until nothing moves. "
                "Here γ = 1: a value is simply the sum of the rewards still to come, so you can check it by counting.",
            ),
            Row(pictures[0.0]),
            f"From the lower left corner, three candidate paths. {_sentence(tied)} the best that any policy can do "
            f"({signed(sure[0]['best_return'])}: one hundred for the goal, less one for each step before it).",
            Row(walks),
            Table(
                ["path", "return, sure moves", "best possible?", f"expected, slip {SLIP:g}", "falls into the hole"],
                rows,
                f"With slip {SLIP:g}, one move in five turns off to a side, half of these to each.",
            ),
            f"Now moves are uncertain, and the tie is broken: the safest of the three goes {safer}. But look at the "
            f"size of the numbers. A fixed list of moves goes on blindly after a slip and brings {signed(blind, 1)} at "
            f"best; the best policy, which looks where it is before each move, still gets {signed(best, 1)}. That is "
            "why reinforcement learning looks for policies and not for plans.",
            Row(pictures[SLIP]),
        ],
        checks=[
            Check(
                f"The upper and the lower way earn 93 = 100 − 7, the way through the hole −55 = −50 − 5 "
                f"(counted by hand; computed: {', '.join(signed(p['expected_return']) for p in sure)})",
                bool(np.allclose([p["expected_return"] for p in sure], [93, 93, -55])),
            ),
            Check(
                f"No value is wrong by more than {tiny(max(a['error_bound'] for a in solved.values()))} (proven bound)",
                all(a["error_bound"] <= a["tolerance"] for a in solved.values()),
            ),
            Check("With uncertain moves the policy that looks beats every fixed path", best > blind),
        ],
        protocol="Exact computation in float64, no randomness and no seeds; discount γ = 1.",
        commands=[
            f"puzzlebox solve {name} --gamma 1 " + " ".join(f"--path {p}" for p in plans) for name in worlds.values()
        ],
        figures={
            "start_value": solved[0.0]["start_value"],
            "start_value_slippery": solved[SLIP]["start_value"],
            "paths": [_figures(one, two) for one, two in zip(sure, slippery, strict=True)],
            "best_return": sure[0]["best_return"],
            "best_return_slippery": best,
        },
        tiles=[Tile(signed(sure[0]["best_return"]), "best return from the robot's far corner, exact")],
    )


def _pictures(folder: Path, worlds: dict[float, str]) -> dict[float, list[Picture]]:
    """Policy and values of each world."""
    drawn = {}
    for slip, name in worlds.items():
        mdp, layout = grid(name)
        solution = value_iteration(mdp, 1.0)
        kind = f"slip {slip:g}" if slip else "sure moves"
        policy = grid_pictures.policy_picture(layout, solution.q_values, f"Best policy, {kind}")
        values = grid_pictures.value_picture(layout, solution.values, f"Values, {kind}")
        drawn[slip] = [
            Picture(
                grid_pictures.save(policy, folder / f"policy-{slip:g}.png"),
                f"The best moves of the robot in every cell, {kind}",
                "All best moves; two arrows mean that both are equally good.",
                width=420,
            ),
            Picture(
                grid_pictures.save(values, folder / f"values-{slip:g}.png"),
                f"The value of every cell, {kind}",
                "The expected sum of rewards from each cell on, acting best.",
                width=460,
            ),
        ]
    return drawn


def _walk(folder: Path, name: str, plan: str, caption: str) -> Picture:
    """The cells of one path, until it ends."""
    mdp, layout = grid("grid/robot")
    path = read_path(plan, mdp, layout)
    trail, cell = [], path.state
    for action in path.actions:
        trail.append(cell)
        cell, ended = int(mdp.next_state[cell, action, 0]), bool(mdp.terminated[cell, action, 0])
        if ended:
            break
    file = folder / f"path-{name.replace(' ', '-')}.png"
    Image.fromarray(grid_picture(layout.rows, cell, trail)).save(file)
    return Picture(file, f"The path {name}", caption, width=280)


def _sentence(names: list[str]) -> str:
    text = " and ".join(f"the one {name}" for name in names)
    return f"{text[0].upper()}{text[1:]} {'are' if len(names) > 1 else 'is'}" if names else "None of them is"


def _figures(one: dict[str, Any], two: dict[str, Any]) -> dict[str, Any]:
    return {
        "path": one["path"],
        "return": one["expected_return"],
        "optimal": one["optimal"],
        "return_slippery": two["expected_return"],
    }
