"""Tree search on Connect 4 with the network of the presets: simulations per second.

Ours, beside the network alone (as many evaluations at the same batch, in one compiled loop) and beside OpenSpiel: its
Python search with PUCT and the same network in NumPy, one position at a time as that search asks for it, and its C++
search, which knows no network here and plays random games instead. Then self-play: searched moves and games per second.
Everything takes turns; a figure is the median over rounds, a share the median of the rounds' shares.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from puzzlebox.acting import search, self_play
from puzzlebox.algorithms.planning.alphazero import AlphaZero
from puzzlebox.algorithms.presets import preset
from puzzlebox.envs import make
from puzzlebox.scale import backend

BATCHES = (64, 256)
SIMULATIONS = 64
PEER_SIMULATIONS = 256
ROUNDS = 5
SECONDS = 2.0
OPENING = (3, 2, 3, 4)  # searched by OpenSpiel; ours searches games under way


def main() -> None:
    backend.prepare()
    agent = AlphaZero(make("connect_four"), **preset("alphazero", "connect_four"))
    state = jax.jit(agent.init)(jax.random.key(0))
    works: dict[str, Callable[[], int]] = {}
    for batch in BATCHES:
        works |= ours(agent, state, batch)
    works |= peers(state.average)
    works["self-play"] = plays(agent, state)
    speeds: dict[str, list[float]] = {name: [] for name in works}
    for work in works.values():
        work()  # compiles
    for _ in range(ROUNDS):
        for name, work in works.items():
            speeds[name].append(speed(work))
    rows: list[dict[str, Any]] = []
    for batch in BATCHES:
        alone = speeds[f"network, batch {batch}"]
        for method in ("gumbel", "puct"):
            mine = speeds[f"{method}, batch {batch}"]
            row = {"search": f"puzzlebox {method}", "batch": batch, "per_second": round(statistics.median(mine))}
            row |= {"network_alone": round(statistics.median(alone)), "share": share(mine, alone)}
            rows.append(row | {f"times_{name}": share(mine, speeds[name]) for name in speeds if "openspiel" in name})
    rows += [
        {"search": name, "batch": 1, "per_second": round(statistics.median(speeds[name]))}
        for name in speeds
        if "openspiel" in name
    ]
    moves = statistics.median(speeds["self-play"])
    length = game_length(agent, state)
    result = {
        "network": f"{agent.network}, width {agent.width}, {agent.blocks} blocks",
        "simulations": SIMULATIONS,
        "rows": rows,
        "self_play_moves_per_second": round(moves),
        "self_play_games_per_second": round(moves / length, 1),
        "self_play_game_length": round(length, 1),
        "self_play_simulations_per_move": agent.num_simulations,
    }
    print(json.dumps(result))


def speed(work: Callable[[], int]) -> float:
    began, done = time.perf_counter(), 0
    while time.perf_counter() - began < SECONDS:
        done += work()
    return done / (time.perf_counter() - began)


def share(a: list[float], b: list[float]) -> float:
    return round(statistics.median(x / y for x, y in zip(a, b, strict=True)), 2)


def ours(agent: AlphaZero, state: Any, batch: int) -> dict[str, Callable[[], int]]:
    """Both searches from ``batch`` games under way, and the network alone."""
    game, net = agent.env, state.average
    games = self_play.start(game, batch, jax.random.key(1), 16)

    def look(states: Any, positions: Any, length: Any, key: Any) -> search.SearchResult:
        return search.gumbel(*search.known_rules(game, net, states, positions), key, 2)

    games = jax.jit(lambda games: self_play.self_play(look, game, games, 12, jax.random.key(2), 16)[0])(games)
    works = {}
    for name, method in (("gumbel", search.gumbel), ("puct", search.puct)):

        def find(net: Any, states: Any, positions: Any, method: Any = method) -> Any:
            root, model = search.known_rules(game, net, states, positions)
            return method(root, model, jax.random.key(0), SIMULATIONS).action

        works[f"{name}, batch {batch}"] = counted(jax.jit(find), batch, net, games.state, games.position)

    def evaluate(net: Any, observation: Any) -> Any:
        # every pass sees a board that depends on the last one, so that none can be left out
        def once(_: Any, carry: Any) -> Any:
            logits, value = net(observation + 0.0 * carry[0].sum())
            return logits, value

        return jax.lax.fori_loop(0, SIMULATIONS, once, net(observation))

    return works | {f"network, batch {batch}": counted(jax.jit(evaluate), batch, net, games.position.observation)}


def counted(program: Any, batch: int, *arguments: Any) -> Callable[[], int]:
    def work() -> int:
        jax.block_until_ready(program(*arguments))
        return batch * SIMULATIONS

    return work


def plays(agent: AlphaZero, state: Any) -> Callable[[], int]:
    play = jax.jit(agent._play)
    worlds = [state.worlds]

    def work() -> int:
        worlds[0] = jax.block_until_ready(play(state.average, worlds[0], jax.random.key(3))[0])
        return agent.iteration_steps

    return work


def game_length(agent: AlphaZero, state: Any) -> float:
    play, worlds, lengths = jax.jit(agent._play), state.worlds, []
    for i in range(16):
        worlds, _, metrics = play(state.average, worlds, jax.random.key(i))
        lengths.append(float(metrics["game_length"]))
    return float(np.nanmean(lengths))


def peers(net: Any) -> dict[str, Callable[[], int]]:
    """OpenSpiel's searches of one position, where it is installed."""
    try:
        import pyspiel
        from open_spiel.python.algorithms import mcts
    except ImportError:
        return {}
    game = pyspiel.load_game("connect_four")
    position = game.new_initial_state()
    for column in OPENING:
        position.apply_action(column)
    guess = in_numpy(net)

    class Network(mcts.Evaluator):
        def __init__(self) -> None:
            self.known: dict[str, Any] = {}

        def ask(self, state: Any) -> Any:
            text = str(state)
            if text not in self.known:
                planes = np.asarray(state.observation_tensor(), np.float32).reshape(3, 6, 7)[:, ::-1]
                mine = 2 - state.current_player()  # planes: empty, second player's, first player's stones
                board = np.stack([planes[mine], planes[3 - mine]], axis=-1)
                self.known[text] = guess(board)
            return self.known[text]

        def evaluate(self, state: Any) -> Any:
            value = self.ask(state)[1]
            return np.array([value, -value]) * (1 if state.current_player() == 0 else -1)

        def prior(self, state: Any) -> Any:
            logits, legal = self.ask(state)[0], state.legal_actions()
            weights = np.exp(logits[legal] - logits[legal].max())
            return list(zip(legal, weights / weights.sum(), strict=True))

    def python() -> int:
        bot = mcts.MCTSBot(
            game, 1.25, PEER_SIMULATIONS, Network(), solve=False, child_selection_fn=mcts.SearchNode.puct_value
        )
        bot.mcts_search(position)
        return PEER_SIMULATIONS

    def compiled() -> int:
        evaluator = pyspiel.RandomRolloutEvaluator(1, 0)
        simulations = 16 * PEER_SIMULATIONS
        bot = pyspiel.MCTSBot(game, evaluator, 1.25, simulations, 256, False, 0, False)
        bot.mcts_search(position)
        return simulations

    return {"openspiel_python": python, "openspiel_cpp_rollouts": compiled}


def in_numpy(net: Any) -> Callable[[Any], tuple[Any, float]]:
    """The network on one board, for who does not use JAX."""
    net = jax.tree.map(np.asarray, net)

    def see(x: Any) -> Any:
        padded = np.pad(x, ((1, 1), (1, 1), (0, 0)))
        rows, columns = x.shape[:2]
        return np.concatenate([padded[i : i + rows, j : j + columns] for i in range(3) for j in range(3)], axis=-1)

    def guess(board: Any) -> tuple[Any, float]:
        looks = see if net.conv else (lambda x: x)
        x = np.maximum(net.first(see(board) if net.conv else board.reshape(-1)), 0)
        for block in net.blocks:
            x = np.maximum(x + block.second(looks(np.maximum(block.first(looks(x)), 0))), 0)
        x = np.maximum(net.join(x.reshape(-1)), 0)
        return net.policy(x), float(np.tanh(net.value(x)[0]))

    example = np.zeros(net.shape, np.float32)
    example[5, 3, 0] = 1
    np.testing.assert_allclose(guess(example)[0], net(jnp.asarray(example))[0], atol=1e-5)
    return guess


if __name__ == "__main__":
    main()
