"""The 4×3 toy grid: a number in the rewards changes which policy is best."""

from __future__ import annotations

import numpy as np

from puzzlebox.algorithms.tabular.exact import check_policy
from puzzlebox.algorithms.tabular.value_iteration import value_iteration
from puzzlebox.envs import make
from puzzlebox.pictures import grid_pictures
from puzzlebox.pictures.grid_notation import ARROWS
from puzzlebox.pictures.page import Check, Equation, Picture, Table, Tile
from puzzlebox.studies.tour.chapter import Chapter, Context, free_cells, signed

STEP_REWARDS = (-2.0, -0.1)


def toy(context: Context) -> Chapter:
    """Solves ``grid/toy`` with −2 and with −0.1 per step, and holds each policy against the other world."""
    names = [f"grid/toy,step_reward={reward:g}" for reward in STEP_REWARDS]
    worlds = [make(name) for name in names]
    solutions = [value_iteration(world.mdp(), 1.0) for world in worlds]
    layout = worlds[0].layout
    free = free_cells(layout.rows)
    different = [int(s) for s in free if _best(solutions[0].q_values[s]) != _best(solutions[1].q_values[s])]
    swapped = [check_policy(worlds[i].mdp(), solutions[1 - i].policy, solutions[i]) for i in (0, 1)]
    parts = [
        (f"{signed(reward)} per step", layout, solution.q_values)
        for reward, solution in zip(STEP_REWARDS, solutions, strict=True)
    ]
    picture = grid_pictures.save(grid_pictures.compare_picture(parts), context.folder / "policies.png")
    start = int(np.flatnonzero(worlds[0].mdp().start)[0])
    rows = [
        [
            f"row {s // len(layout.rows[0]) + 1}, column {s % len(layout.rows[0]) + 1}",
            *(
                " ".join(ARROWS[letter] for letter in _arrows(solution.q_values[s], layout.actions))
                for solution in solutions
            ),
        ]
        for s in different
    ]
    lost = [check.start_loss for check in swapped]
    dear, cheap = (signed(reward) for reward in STEP_REWARDS)
    return Chapter(
        headline=f"{len(different)} of {len(free)} cells want another move; the wrong policy costs up to "
        f"{signed(max(lost))}",
        blocks=[
            "Two squares end the episode, one with +1 and one with −1, and one move in five goes astray. The only "
            "thing we change is the price of a step. An agent does what its rewards say and not what we meant, so "
            "this one number decides how it behaves.",
            Equation(
                "π*(s) = argmaxₐ Σₛ′ T(s, a, s′) · [ R(s, a, s′) + V*(s′) ]",
                "The best policy takes, in every state, a move whose expected reward and next value are largest.",
            ),
            Picture(
                picture,
                f"Best policies side by side, for {dear} and for {cheap} per step",
                f"Values as colour, best moves as arrows. Left: at {dear} per step life is so expensive that ending it "
                f"at once is best, even with −1. Right: at {cheap} a detour around the −1 pays.",
                width=860,
            ),
            Table(
                ["cell", f"best move at {dear}", f"best move at {cheap}"],
                rows,
                f"The {len(different)} of {len(free)} cells where the two best policies differ.",
            ),
            f"Is each policy optimal in the other's world? It is computed exactly, from the start square: the policy "
            f"made for {cheap} loses {signed(lost[0])} at {dear} per step, and the policy made for {dear} loses "
            f"{signed(lost[1])} at {cheap}.",
        ],
        checks=[
            Check(f"The two best policies differ (in {len(different)} cells)", bool(different)),
            Check("Neither policy is optimal in the other's world", not any(check.optimal for check in swapped)),
            Check(
                "Each is optimal in its own world, by the exact test",
                all(check_policy(w.mdp(), s.policy, s).optimal for w, s in zip(worlds, solutions, strict=True)),
            ),
        ],
        protocol="Exact computation in float64, no randomness and no seeds; discount γ = 1, moves slip with "
        "probability 0.2.",
        commands=[f"puzzlebox solve {name} --gamma 1" for name in names],
        figures={
            "step_rewards": list(STEP_REWARDS),
            "start_values": [float(s.values[start]) for s in solutions],
            "policies": [s.policy.tolist() for s in solutions],
            "different_cells": different,
            "start_losses_of_the_other_policy": lost,
        },
        tiles=[
            Tile(f"{len(different)} of {len(free)}", f"best moves change when a step costs {dear} instead of {cheap}")
        ],
    )


def _best(q: np.ndarray) -> tuple[int, ...]:
    """The best actions of a state, equally good ones together."""
    return tuple(np.flatnonzero(q >= q.max() - 1e-6).tolist())


def _arrows(q: np.ndarray, letters: str) -> str:
    return "".join(letters[action] for action in _best(q))
