"""Does MuZero learn? A world with its default settings, a model that can be checked, and a resumed run."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file

from puzzlebox.algorithms.planning.muzero import MuZero
from puzzlebox.envs import make
from puzzlebox.errors import UsageError
from puzzlebox.nets.heads import features
from puzzlebox.nets.muzero import unroll
from puzzlebox.ops.two_hot import expected_value
from puzzlebox.pictures.predictions import plot_predictions
from puzzlebox.runs import checkpoint
from puzzlebox.runs.directory import Run
from puzzlebox.training.train import resume, train


def test_cartpole_is_being_learned(tmp_path):
    """A quarter of the training in docs/algorithms/muzero.md, with two of its seeds; a random policy gets 22."""
    figures = train("muzero", "CartPole-v1", seeds=2, steps=25_000, run=tmp_path / "run", quiet=True, episodes=20)
    print(figures["seconds"], figures["greedy"]["returns"])
    assert figures["return_mean"] >= 150


def test_tic_tac_toe_is_learned_without_its_rules(tmp_path):
    """The training that docs/algorithms/muzero.md tells of, with its first seed."""
    figures = train("muzero", "tic_tac_toe", run=tmp_path / "run", quiet=True, episodes=400)
    print(figures["seconds"], figures["against"])
    games = figures["against"]["perfect"]
    assert games["as_first"]["losses"] + games["as_second"]["losses"] <= 0.05 * 400


def test_the_model_becomes_the_grid():
    """After training the model, unrolled along any five moves, pays what the grid pays."""
    env = make("grid/toy,step_reward=-0.1")
    agent = MuZero(env, steps=25_600, num_envs=16, learning_rate=3e-3, value_limit=2.0, num_bins=21, capacity=8192)
    iterations = agent.steps // agent.iteration_steps
    run = jax.jit(lambda key: jax.lax.fori_loop(0, iterations, lambda _, s: agent.step(s)[0], agent.init(key)))
    net = run(jax.random.key(0)).net
    mdp, rng = env.mdp(), np.random.default_rng(0)
    place = rng.choice(np.flatnonzero(np.asarray(mdp.start) > 0), 200)
    actions, alive, truth = rng.integers(0, 4, (5, 200)), np.ones(200, bool), []
    seen = features(env.observation_space, jnp.asarray(place))
    for action in actions:
        truth.append(np.where(alive, np.asarray(mdp.reward)[place, action, 0], 0.0))
        alive &= ~np.asarray(mdp.terminated)[place, action, 0]
        place = np.asarray(mdp.next_state)[place, action, 0]
    _, _, rewards = unroll(net, seen, jnp.asarray(actions))
    error = np.abs(np.asarray(expected_value(rewards, agent.value_limit)) - np.array(truth))
    assert np.mean(error < 0.1) > 0.95  # half the distance of two categories
    assert error.mean() < 0.075


def test_it_resumes_bit_for_bit_and_draws_what_its_model_predicts(tmp_path):
    """The last checkpoint is lost and made again: the same numbers."""
    run = tmp_path / "run"
    small = {"num_envs": 8, "num_updates": 2, "capacity": 1024, "learning_starts": 64, "width": 8, "hidden": (16,)}
    train("muzero", "CartPole-v1", seeds=2, steps=2048, run=run, quiet=True, checkpoint_every=0, episodes=2, **small)
    *_, earlier, last = checkpoint.list_checkpoints(Run.open(run).checkpoints)
    assert int(earlier.stem) < 2048
    expected = load_file(last)
    last.unlink()
    resume(run, quiet=True)
    again = load_file(checkpoint.list_checkpoints(Run.open(run).checkpoints)[-1])
    assert expected.keys() == again.keys()
    for name, numbers in expected.items():
        np.testing.assert_array_equal(again[name], numbers, err_msg=name)
    png, svg = plot_predictions(run)
    assert png.stat().st_size > 5000
    assert "predicted" in svg.read_text()
    with pytest.raises(UsageError, match="agent is 2"):
        plot_predictions(run, agent=2)
