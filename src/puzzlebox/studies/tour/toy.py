"""The 4×3 toy grid: a number in the rewards changes which policy is best."""

from __future__ import annotations

import numpy as np

from puzzlebox.algorithms.tabular.exact import check_policy
from puzzlebox.algorithms.tabular.value_iteration import value_iteration
from puzzlebox.pictures import grid_pictures
from puzzlebox.pictures.grid_notation import ARROWS
from puzzlebox.pictures.page import Check, Equation, Picture, Table, Tile
from puzzlebox.studies.tour.chapter import Chapter, Context, free_cells, grid, signed

STEP_REWARDS = (-2.0, -0.1)


def toy(context: Context) -> Chapter:
    """Solves ``grid/toy`` with −2 and with −0.1 per step, and holds each policy against the other world."""
    names = [f"grid/toy,step_reward={reward:g}" for reward in STEP_REWARDS]
    worlds, (layout, _) = zip(*map(grid, names), strict=True)
    solutions = [value_iteration(mdp, 1.0) for mdp in worlds]
    free = free_cells(layout.rows)
    best = [[_best(solution.q_values[s]) for s in free] for solution in solutions]
    different = [int(s) for s, one, other in zip(free, *best, strict=True) if one != other]
    # Where the best moves have none in common, the loss does not depend on how a solver breaks ties.
    opposed = [int(s) for s, one, other in zip(free, *best, strict=True) if not set(one) & set(other)]
    swapped = [check_policy(worlds[i], solutions[1 - i].policy, solutions[i]) for i in (0, 1)]
    lost = [float(max(check.loss[opposed])) for check in swapped]
    parts = [
        (f"{signed(reward)} per step", layout, solution.q_values)
        for reward, solution in zip(STEP_REWARDS, solutions, strict=True)
    ]
    picture = grid_pictures.save(grid_pictures.compare_picture(parts), context.folder / "policies.png")
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
    dear, cheap = (signed(reward) for reward in STEP_REWARDS)
    return Chapter(
        headline=f"best moves differ in {len(different)} of {len(free)} cells; in the corner below the −1 the wrong "
        f"policy loses {signed(max(lost))}",
        blocks=[
            "Two squares end the episode, one with +1 and one with −1, and every move goes where it points. The only "
            "thing we change is the price of a step. An agent does what its rewards say and not what we meant, so "
            "this one number decides how it behaves.",
            Equation(
                "π*(s) = argmaxₐ [ R(s, a) + V*(s′) ]",
                "The best policy takes, in every state s, a move a whose reward and the value of the state s′ it leads "
                "to add up to most. The value of an end is 0.",
            ),
            Picture(
                picture,
                f"Best policies side by side, for {dear} and for {cheap} per step",
                f"Values as colour, best moves as arrows; two arrows mean that both moves are equally good. Left: at "
                f"{dear} per step walking is so expensive that the corner below the −1 had better end there at once. "
                f"Right: at {cheap} the way round it pays, from everywhere.",
                width=860,
            ),
            Table(
                ["cell", f"best move at {dear}", f"best move at {cheap}"],
                rows,
                f"The {len(different)} of {len(free)} cells where the two best policies differ.",
            ),
            f"You can count it. From the corner below it, the −1 is one move away and the +1 four. At {dear} per step "
            "the way to the +1 brings −2 − 2 − 2 + 1 = −5, which is worse than −1; at −0.1 it brings "
            "−0.1 − 0.1 − 0.1 + 1 = 0.7. In the other cells of the table the +1 is only one move farther than the −1. "
            "At −2 that move costs just as much as the +1 brings more, so that both ways are equally good.",
            f"Is each policy optimal in the other's world? The exact answer is no: in that corner the policy made for "
            f"{cheap} loses {signed(lost[0])} at {dear} per step, and the policy made for {dear} loses "
            f"{signed(lost[1])} at {cheap}.",
        ],
        checks=[
            Check(
                f"In the corner the wrong policy loses −1 − (−5) = 4 and 0.7 − (−1) = 1.7 (counted by hand; computed: "
                f"{' and '.join(map(signed, lost))})",
                bool(np.allclose(lost, [4, 1.7])),
            ),
            Check("Neither policy is optimal in the other's world", not any(check.optimal for check in swapped)),
            Check(
                "Each is optimal in its own world, by the exact test",
                all(check_policy(w, s.policy, s).optimal for w, s in zip(worlds, solutions, strict=True)),
            ),
        ],
        protocol="Exact computation in float64, no randomness and no seeds; discount γ = 1.",
        commands=[f"puzzlebox solve {name} --gamma 1" for name in names],
        figures={
            "step_rewards": list(STEP_REWARDS),
            "values": [s.values.tolist() for s in solutions],
            "policies": [s.policy.tolist() for s in solutions],
            "different_cells": different,
            "cells_without_a_common_best_move": opposed,
            "losses_of_the_other_policy_there": lost,
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
