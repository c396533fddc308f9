"""Agents of a run as players: the newest or an older checkpoint, one of several seeds, and reduced to its weights."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from puzzlebox.cli import main
from puzzlebox.envs import make
from puzzlebox.envs.games.moves import from_moves
from puzzlebox.errors import UsageError
from puzzlebox.evaluation import report
from puzzlebox.evaluation.evaluate import evaluate
from puzzlebox.play.players import make_player
from puzzlebox.runs import checkpoint
from puzzlebox.runs.build import build
from puzzlebox.runs.configure import configure
from puzzlebox.runs.directory import Run
from puzzlebox.runs.trained import open_trained, read_name, save_weights, started
from puzzlebox.training.train import train

GAME = make("tic_tac_toe")
SMALL = {"steps": 256, "num_envs": 8, "num_steps": 8, "num_simulations": 4, "width": 8, "blocks": 1, "capacity": 256}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Two agents as their seeds made them, then two checkpoints with other numbers in every network."""
    path = tmp_path_factory.mktemp("trained") / "run"
    opened = Run.create(path, configure("alphazero", "tic_tac_toe", 2, 0, dict(SMALL)))
    agents = build(opened.config)
    start = agents.start()
    for steps in (128, 256):
        state = start._replace(average=jax.tree.map(lambda x, steps=steps: x * (1 + steps / 256), start.average))
        checkpoint.save(opened.checkpoints, steps, state, {"steps": steps, "seconds": 0.0})
    return path


def positions_of(*games):
    return jax.tree.map(lambda *x: jnp.stack(x), *(from_moves(GAME, moves) for moves in games))


def numbers(name):
    """All numbers of the network that a player has, as one vector."""
    base, options = read_name(str(name))
    average = open_trained(base, **options).state.average
    return np.concatenate([np.ravel(x) for x in jax.tree.leaves(average)])


def test_evaluating_a_run_tells_of_its_games(run):
    figures = evaluate(run, episodes=5)
    assert list(figures["against"]) == ["random", "perfect"]
    for row in figures["against"].values():
        for side in ("as_first", "as_second"):
            assert sum(row[side].values()) == 2 * 3  # two agents, half of five games rounded up
        assert len(row["mean_outcome"]) == 2
    assert figures["against"]["perfect"]["as_first"]["wins"] == 0
    assert figures["returns"] == figures["against"]["random"]["mean_outcome"]
    written = json.loads((run / "evaluation.json").read_text())
    assert np.shape(written["greedy"]["episode_returns"]) == (2, 6) and written["against"] == figures["against"]
    printed = "\n".join(report.summary_lines(figures))
    assert "against random" in printed and "against perfect" in printed


def test_agents_and_checkpoints(run):
    newest = numbers(run)
    np.testing.assert_array_equal(newest, numbers(f"{run},agent=0,steps=256"))
    np.testing.assert_allclose(newest, 2 * numbers(f"{run},steps=0"), rtol=1e-6)
    np.testing.assert_allclose(newest, 2 / 1.5 * numbers(f"{run},steps=128"), rtol=1e-6)
    assert not np.allclose(newest, numbers(f"{run},agent=1"))
    np.testing.assert_allclose(numbers(f"{run},agent=1"), 2 * numbers(f"{run},agent=1,steps=0"), rtol=1e-6)


def test_it_searches_as_often_as_it_is_told(run):
    states, positions = positions_of("", "4", "0,4", "4,0,8", "0,1,2,4,3")
    player = make_player(f"{run},simulations=9", "tic_tac_toe", GAME, simulations=3)
    choice = player.choose(states, positions, jax.random.key(0))
    assert choice.visits.sum(-1).tolist() == [9] * 5
    again = player.choose(states, positions, jax.random.key(1))
    assert (choice.action == again.action).all()  # without noise


def test_a_checkpoint_that_is_gone(run):
    with pytest.raises(UsageError, match="no checkpoint after 5 steps; it has those after 0, 128, 256"):
        open_trained(run, steps=5)


def test_weights_alone_play_the_same(run, tmp_path, capsys):
    place = tmp_path / "small"
    assert main(["export", f"{run},agent=1", "--to", "weights", "--out", str(place), "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["files"] == ["000000000256.safetensors", "config.json"]
    newest = max((run / "checkpoints").iterdir())
    assert figures["bytes"] < newest.stat().st_size / 4
    np.testing.assert_array_equal(numbers(place), numbers(f"{run},agent=1"))
    assert main(["resume", str(place)]) == 1
    assert "does not fit this run" in capsys.readouterr().err


def test_a_plays_against_b(run, capsys):
    assert main(["arena", str(run), f"{run},steps=0", "--games", "6", "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["game"] == "tic_tac_toe" and figures["opening_plies"] == 4
    assert sum(figures["as_first"].values()) == sum(figures["as_second"].values()) == 6


def test_its_tree_is_drawn(run, tmp_path, capsys):
    argv = ["tree", "tic_tac_toe", "--player", str(run), "--simulations", "20", "--out", str(tmp_path / "tree.png")]
    assert main([*argv, "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert sum(child["prior"] for child in figures["children"].values()) == pytest.approx(1)


def test_weights_of_another_kind_of_run(tmp_path):
    (tmp_path / "config.json").write_text('{"format": 1, "env": "arith", "algorithm": "sft", "agents": [{"seed": 0}]}')
    with pytest.raises(UsageError, match="was trained by sft, which plays no games"):
        save_weights(str(tmp_path), tmp_path / "out")


def values_of_start(name, **other):
    return {"start": str(name)} | {size: SMALL[size] for size in ("width", "blocks")} | other


def test_training_starts_from_a_network(run):
    """Every agent has the network of the run's agent at first, and a resumed one needs the run no more."""
    name = f"{run},agent=1,steps=128"
    config = configure("alphazero", "tic_tac_toe", 3, 5, SMALL | values_of_start(name))
    agents = build(config)
    fresh = agents.start()
    state = started(agents.algorithm, "tic_tac_toe", fresh)
    for net in (state.net, state.average):
        for agent in range(3):
            one = np.concatenate([np.ravel(x[agent]) for x in jax.tree.leaves(net)])
            np.testing.assert_array_equal(one, numbers(name))
    assert np.array_equal(jax.random.key_data(state.key), jax.random.key_data(fresh.key))
    places = [x.addressable_shards[0].data.unsafe_buffer_pointer() for x in jax.tree.leaves((state.net, state.average))]
    assert len(set(places)) == len(places)  # copies, since a step is given its state away and uses nothing twice
    build(config | {"hyperparameters": config["hyperparameters"] | {"start": "gone"}})


def test_a_run_from_before_networks_could_be_started_from(run, tmp_path):
    config = json.loads((run / "config.json").read_text())
    del config["hyperparameters"]["start"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "checkpoints").symlink_to(run / "checkpoints")
    np.testing.assert_array_equal(numbers(tmp_path), numbers(run))
    config["hyperparameters"]["wit"] = config["hyperparameters"].pop("width")
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(UsageError, match="another version of alphazero: it differs in width, wit"):
        open_trained(tmp_path)


@pytest.mark.parametrize(
    ("env", "values", "words"),
    [
        ("connect_four", {}, "was trained on tic_tac_toe, so it cannot play connect_four"),
        ("tic_tac_toe", {"width": 16, "blocks": 2}, "whose network has another size; add --width 8 --blocks 1"),
        ("tic_tac_toe", {"start": "runs/none"}, "there is no run directory runs/none"),
    ],
)
def test_a_start_that_does_not_fit(run, env, values, words):
    with pytest.raises(UsageError, match=words) as error:
        train("alphazero", env, **values_of_start(run, **values))
    assert "\n" not in str(error.value)


def test_a_start_of_another_kind(tmp_path):
    Run.create(tmp_path / "muzero", config := configure("muzero", "tic_tac_toe", 1, 0, {"width": 8, "hidden": (8,)}))
    agents = build(config)
    checkpoint.save(tmp_path / "muzero/checkpoints", 256, agents.start(), {"steps": 256, "seconds": 0.0})
    with pytest.raises(UsageError, match="a run of muzero, whose network is another; name one of clone or alphazero"):
        train("alphazero", "tic_tac_toe", start=str(tmp_path / "muzero"))
