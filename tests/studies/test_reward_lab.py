"""The reward lab: settings differ in weights only, one program trains what four would, and the page tells what was."""

import dataclasses
import json
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from puzzlebox.cli import main
from puzzlebox.envs.six_terms import TERMS, Weights
from puzzlebox.errors import UsageError
from puzzlebox.evaluation.world_evaluation import Played
from puzzlebox.runs.build import build
from puzzlebox.runs.configure import configure
from puzzlebox.runs.directory import Run
from puzzlebox.studies.reward_lab import lab as reward_lab
from puzzlebox.studies.reward_lab.lab import SETTINGS, all_agents, figures, with_weights, world_name

SMALL = {"steps": 128, "num_envs": 4, "num_steps": 16, "num_minibatches": 1, "num_epochs": 1, "hidden": (8,)}


def configs(seeds=1):
    return {name: configure("ppo", world_name(s.weights), seeds, 0, dict(SMALL)) for name, s in SETTINGS.items()}


def test_the_name_of_a_setting_builds_its_world():
    for setting in SETTINGS.values():
        world = build(configure("ppo", world_name(setting.weights), 1, 0, dict(SMALL))).algorithm.env
        assert dataclasses.asdict(world.weights) == dataclasses.asdict(setting.weights)


def test_every_agent_is_paid_by_its_own_weights():
    agents = all_agents(configs())
    state, _ = agents.algorithm.env.reset(jax.random.key(0))
    state = state._replace(body=state.body._replace(speed=jnp.float32(-8.0)))

    def paid(swept):
        return agents.env(swept).step(state, jnp.int32(1), jax.random.key(0))[1]

    together = jax.jit(jax.vmap(paid))(agents.swept)
    way = float(together.measures["furthest_x"][0] - together.measures["distance"][0])
    assert way < -0.5
    for i, setting in enumerate(SETTINGS.values()):
        weights = setting.weights
        # to the left over the border of a part, and over one ring
        expected = weights.progress * way - weights.speed * way + weights.new_area + weights.rings
        assert float(together.reward[i]) == pytest.approx(expected, abs=1e-4)


def test_weights_of_one_agent_reach_its_world():
    algorithm = all_agents(configs()).algorithm
    changed = with_weights(algorithm, **dict.fromkeys(TERMS, 3.0))
    assert changed.env.weights == Weights(*[3.0] * 6) and changed.steps == algorithm.steps


def test_figures_by_hand():
    two_by_two = {name: np.zeros((2, 2)) for name in (*TERMS, "success", "furthest_x", "turns", "distance")}
    measures = two_by_two | {
        "progress": np.array([[2.0, 4.0], [0.0, 2.0]]),
        "life_lost": np.array([[-1.0, -1.0], [0.0, -2.0]]),
        "success": np.array([[1.0, 0.0], [0.0, 0.0]]),
        "furthest_x": np.array([[10.0, 20.0], [0.0, 0.0]]),
        "distance": np.array([[50.0, 50.0], [0.0, 10.0]]),
    }
    found = figures(Played(np.ones((2, 2)), np.full((2, 2), 100), measures, 0), 300)
    assert found["completion_rate"] == 0.25 and found["furthest_x"] == 7.5
    assert found["paid"]["progress"] == 2 and found["paid"]["life_lost"] == -1
    assert found["shares"]["progress"] == pytest.approx(2 / 3) and found["shares"]["life_lost"] == pytest.approx(1 / 3)
    assert found["tiles_per_second"] == pytest.approx(10 * 110 / 400)
    assert found["by_seed"]["completion_rate"] == [0.5, 0.0]


def test_the_command_makes_runs_films_and_a_page(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(reward_lab, "QUICK", SMALL)
    monkeypatch.setattr(reward_lab, "EPISODES", 2)
    monkeypatch.setattr(reward_lab, "LEVEL", "platformer/level-1,time_limit=12")
    path = tmp_path / "lab"
    assert main(["reward-lab", "--quick", "--seeds", "1", "--json", "--run", str(path)]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert list(summary["settings"]) == list(SETTINGS)
    for name, setting in summary["settings"].items():
        assert set(setting["shares"]) == set(TERMS)
        assert sum(setting["shares"].values()) == pytest.approx(1) or not any(setting["paid"].values())
        run = Run.open(path / name)
        assert run.metrics()[-1]["steps"] == 128 and (path / f"{name}.gif").stat().st_size > 1000
    page = (path / "index.html").read_text(encoding="utf-8")
    assert page.count("data:image/gif;base64") == 4 and not re.search(r"https?://(?!www\.w3\.org)", page)
    assert all(setting.title in page for setting in SETTINGS.values())
    assert main(["reward-lab", "--run", str(path)]) == 2


def test_wrong_requests(tmp_path):
    with pytest.raises(UsageError, match="seeds is 0; it must be at least 1"):
        reward_lab.reward_lab(seeds=0, run=tmp_path / "x")
    assert not (tmp_path / "x").exists()
