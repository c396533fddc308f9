"""Value iteration for large worlds: Gauss-Seidel backups in the order in which values spread.

    V(s) ← max_a (Σ_{k: s_k ≠ s} p_k γ V(s_k) + R(s, a)) / (1 − γ p(s | s, a)),   newest values on the right

States are sorted by their distance, in most likely moves, from the states where reward comes in, and cut into blocks
of one distance. A sweep goes through the blocks in this order and uses the newest values, so one sweep carries a change
across the whole world, where a plain sweep carries it one move. Blocks whose values have settled are skipped, and
actions that depend little on later blocks are over-relaxed. Neither affects exactness: what is returned is certified by
the plain residual in float64.

Sources: Puterman 1994, section 6.3.3 (Gauss-Seidel, self-transitions divided out); Wingate & Seppi 2005 (ordering by
the flow of information); Young 1954 (over-relaxation).
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from puzzlebox.algorithms.tabular.block_order import block_order
from puzzlebox.algorithms.tabular.certificate import certify, residual_target
from puzzlebox.algorithms.tabular.exact import Solution
from puzzlebox.ops import bellman
from puzzlebox.types import MDP, Array, ArrayLike

SWEEPS = 32  # per call of the compiled program, after which the host looks at the changes


class Blocks(NamedTuple):
    """The MDP in sweep order: C blocks of B slots, actions × outcomes flat; next states are slots."""

    next_slot: Array  # int32 [C, U·K, B]
    weight: Array  # [C, U·K, B], γ p, 0 for ends and for self-transitions, divided by 1 − γ p(s | s, a)
    reward: Array  # [C, U, B], expected reward, divided likewise
    later: Array  # [C, U, B], half of the weight on later blocks where that is small, else 0
    reads: Array  # int32 [C, D], the blocks that a block reads


def ordered_value_iteration(
    mdp: MDP, discount: float, tolerance: float = 1e-6, max_iterations: int = 100_000
) -> Solution:
    """The optimal values of ``mdp``, none wrong by more than ``tolerance``; ``iterations`` counts sweeps.

    Raises UsageError for γ outside [0, 1], values that are not finite (γ = 1), or a tolerance float64 cannot reach.
    """
    # Sort the states.
    started = time.perf_counter()
    target = residual_target(mdp, discount, tolerance)
    iterations = 0
    order = block_order(mdp, discount)
    reads = order.reads()
    with jax.enable_x64(True), ThreadPoolExecutor(1) as background:
        # One core compiles the sweeps while the other arranges the tables.
        compiling = background.submit(_compile_sweeps, mdp, order.state.shape, reads.shape)
        unmoved = jnp.zeros(len(order.state), jnp.int32)
        blocks = jax.block_until_ready(_arrange(mdp, order.state, order.slot, reads, discount))
        sweep, compile_seconds = compiling.result()

        def continue_to(values: np.ndarray, target: float) -> np.ndarray:
            nonlocal iterations
            slots = jnp.asarray(values[order.state.ravel()])
            moved, done, relaxation, before, change = unmoved, 0, 1.0, np.inf, np.inf
            while change > target and iterations < max_iterations:
                limit = jnp.int32(min(SWEEPS, max_iterations - iterations))
                slots, moved, following, largest = sweep(
                    blocks, slots, moved, jnp.int32(done + 1), target, limit, relaxation
                )
                iterations += int(following) - done - 1
                done, change = int(following) - 1, float(largest)
                # Over-relaxation is not proved to converge; plain Gauss-Seidel is, for γ below 1.
                relaxation = relaxation if change < 2 * before else 0.0
                before = min(before, change)
            return np.asarray(slots)[order.slot]

        # Sweep, and certify.
        first = np.full(len(mdp.next_state), order.first_value)
        values, q_values, policy, residual, bound = certify(mdp, discount, tolerance, target, first, continue_to)
    seconds = time.perf_counter() - started
    method = "ordered_value_iteration"
    return Solution(values, q_values, policy, discount, method, iterations, residual, bound, compile_seconds, seconds)


def _compile_sweeps(mdp: MDP, shape: tuple[int, int], reads: tuple[int, int]) -> tuple[Any, float]:
    """`_sweeps` compiled for tables of these sizes, and the seconds that it took."""
    started = time.perf_counter()
    (num_blocks, size), (_, num_actions, width) = shape, mdp.next_state.shape
    with jax.enable_x64(True):

        def numbers(*shape: int, dtype: Any = jnp.float64) -> Any:
            return jax.ShapeDtypeStruct(shape, dtype)

        blocks = Blocks(
            next_slot=numbers(num_blocks, num_actions * width, size, dtype=jnp.int32),
            weight=numbers(num_blocks, num_actions * width, size),
            reward=numbers(num_blocks, num_actions, size),
            later=numbers(num_blocks, num_actions, size),
            reads=numbers(*reads, dtype=jnp.int32),
        )
        whole = numbers(dtype=jnp.int32)
        moved = numbers(num_blocks, dtype=jnp.int32)
        compiled = _sweeps.lower(blocks, numbers(num_blocks * size), moved, whole, 1.0, whole, 1.0).compile()
    return compiled, time.perf_counter() - started


@jax.jit
def _arrange(mdp: MDP, state: Array, slot: Array, reads: Array, discount: Array) -> Blocks:
    """The tables in sweep order; ``state`` [C, B] is the state of each slot, ``slot`` [S] the slot of each state."""
    (num_blocks, size), (_, num_actions, width) = state.shape, mdp.next_state.shape

    def arranged(table: ArrayLike) -> Array:
        return jnp.swapaxes(table.reshape(len(table), -1)[state.ravel()].reshape(num_blocks, size, -1), 1, 2)

    # The outcomes in sweep order; an action's own state is taken out of its outcomes by dividing by 1 − γ p(s | s, a).
    next_state = arranged(mdp.next_state)
    weight = arranged(jnp.where(mdp.terminated, 0.0, discount * mdp.probability))
    own = next_state == state[:, None, :]
    shape = (num_blocks, num_actions, width, size)
    reward = arranged(bellman.expected_reward(mdp))
    rest = 1 - jnp.where(own, weight, 0.0).reshape(shape).sum(2)
    # With γ = 1 a move that always stays is worth the endless sum of its reward.
    endless = rest < 1e-12
    rest = jnp.where(endless, 1.0, rest)
    reward = jnp.where(endless & (reward != 0), jnp.sign(reward) * jnp.inf, reward / rest)
    weight = jnp.where(own, 0.0, weight).reshape(shape) / rest[:, :, None]

    # How much an action depends on blocks that come later in the sweep, whose values are still old.
    next_slot = slot[next_state]
    after = (next_slot // size > jnp.arange(num_blocks)[:, None, None]).reshape(shape)
    later = jnp.where(after, weight, 0.0).sum(2)
    return Blocks(next_slot, weight.reshape(next_slot.shape), reward, jnp.where(later <= 0.15, 0.5 * later, 0.0), reads)


def _read(blocks: Blocks, values: Array, block: Array) -> tuple[Array, list[Array]]:
    """The values of one block [B] and the action values that follow from them, U arrays of [B].

    Everything is read by one gather: if the block's own values were read separately, XLA would delay that until after
    the write and copy all values for it.
    """
    next_slot, weight, reward = blocks.next_slot[block], blocks.weight[block], blocks.reward[block]
    size, width = reward.shape[-1], len(weight) // len(reward)
    wanted = jnp.concatenate(
        [next_slot.reshape(-1), block.astype(jnp.int32) * size + jnp.arange(size, dtype=jnp.int32)]
    )
    found = values.at[wanted].get(mode="promise_in_bounds").reshape(-1, size)
    found = jax.lax.optimization_barrier(found)
    weighted = weight * found[:-1]
    return found[-1], [sum((weighted[a * width + k] for k in range(width)), reward[a]) for a in range(len(reward))]


@partial(jax.jit, donate_argnums=1)
def _sweeps(
    blocks: Blocks, values: Array, moved: Array, first: Array, target: Array, limit: Array, relaxation: Array
) -> tuple[Array, Array, Array, Array]:
    """Sweeps, numbered from ``first``, until no value moves by more than ``target``, ``limit`` at the most.

    ``moved`` [C] is the last sweep in which a block moved. A block is skipped where nothing that it reads has moved
    in this sweep or the last. Returns values, ``moved``, the next sweep's number, the last sweep's largest move.
    """
    size = blocks.reward.shape[-1]
    Carry = tuple[Array, Array, Array, Array]

    def backup(block: Array, carry: Carry) -> Carry:
        values, moved, sweep, largest = carry
        old, q_values = _read(blocks, values, block)
        later = relaxation * blocks.later[block]
        new = jnp.max(jnp.stack([(q - later[a] * old) / (1 - later[a]) for a, q in enumerate(q_values)]), axis=0)
        move = jnp.max(jnp.abs(new - old))
        # Half the target, so that what skipped blocks miss cannot add up to it.
        moved = moved.at[block].set(jnp.where(move > target / 2, sweep, moved[block]))
        values = jax.lax.dynamic_update_slice(values, new, (block * size,))
        return values, moved, sweep, jnp.maximum(largest, move)

    def visit(block: Array, carry: Carry) -> Carry:
        _, moved, sweep, _ = carry
        news = jnp.max(moved[blocks.reads[block]]) >= sweep - 1
        # A loop of no or one turn: unlike a conditional it works on the values in place.
        return jax.lax.fori_loop(block, block + news, backup, carry)

    def once(carry: Carry) -> Carry:
        values, moved, sweep, _ = carry
        values, moved, _, largest = jax.lax.fori_loop(
            0, len(blocks.reward), visit, (values, moved, sweep, 0.0 * target)
        )
        return values, moved, sweep + 1, largest

    def unsettled(carry: Carry) -> Array:
        return (carry[2] < first + limit) & (carry[3] > target)

    return jax.lax.while_loop(unsettled, once, (values, moved, first, jnp.inf + target))
