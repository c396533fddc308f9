"""A map and rewards of your own: solve it exactly, learn it, and see how the price of a step changes the best way.

Run it with: python examples/own_grid.py
"""

import dataclasses

import jax
import numpy as np

from puzzlebox.algorithms.tabular.exact import check_policy
from puzzlebox.algorithms.tabular.policy_iteration import policy_iteration
from puzzlebox.algorithms.tabular.q_learning import QLearning
from puzzlebox.envs.gridworld import from_text
from puzzlebox.pictures.grid_notation import policy_text

MAP = """
S...#G
.##.#.
.#....
...HH.
.#....
"""
DISCOUNT = 0.95


def main() -> None:
    grid = dataclasses.replace(from_text(MAP), goal_reward=10.0, hole_reward=-10.0, slip=0.1, time_limit=200)
    for step_reward in (-0.1, -5.0):
        world = dataclasses.replace(grid, step_reward=step_reward)
        best = policy_iteration(world.mdp(), DISCOUNT)
        print(f"\n{step_reward} per step: the start is worth {best.values[0]:.2f}")
        print(policy_text(world.layout, best.policy))

    world = dataclasses.replace(grid, step_reward=-0.1)
    best = policy_iteration(world.mdp(), DISCOUNT)
    learner = QLearning(env=world, steps=1_000_000, discount=DISCOUNT)
    state = learner.init(jax.random.key(0))
    step = jax.jit(learner.step)
    for _ in range(learner.steps // learner.iteration_steps):
        state, _ = step(state)
    learned = check_policy(world.mdp(), np.argmax(state.values.q, axis=-1), best)
    print(
        f"\nQ-learning, {learner.steps:,} steps: loses {learned.start_loss:.3f} of {best.values[0]:.2f} from the start"
    )


if __name__ == "__main__":
    main()
