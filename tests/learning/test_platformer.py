"""The platformer is learned, and its four weightings teach what the lecture says, over five seeds each."""

import jax
import numpy as np

from puzzlebox.runs.build import build
from puzzlebox.runs.configure import configure
from puzzlebox.studies.reward_lab.lab import SETTINGS, WALL, all_agents, reward_lab, world_name

SMALL = {"steps": 128, "num_envs": 4, "num_steps": 16, "num_minibatches": 1, "num_epochs": 1, "hidden": (8,)}


def test_every_weighting_teaches_what_it_pays(tmp_path):
    """The median seed shows it, and at most one of five is an exception: learning is chaotic."""
    lab = reward_lab(seeds=5, run=tmp_path / "lab", quiet=True)["settings"]
    seeds = {name: {key: np.array(x) for key, x in setting["by_seed"].items()} for name, setting in lab.items()}
    completed = {name: (figures["completion_rate"] >= 0.9).sum() for name, figures in seeds.items()}
    assert completed.pop("new-area") >= 4
    assert max(completed.values()) <= 1
    assert np.median(seeds["rings-and-lives"]["tiles_per_second"]) < 1
    assert np.median(seeds["progress"]["furthest_x"]) < WALL + 2
    assert np.median(seeds["speed"]["turns"]) >= 8


def test_one_program_learns_what_each_setting_alone_would():
    configs = {name: configure("ppo", world_name(s.weights), 1, 0, dict(SMALL)) for name, s in SETTINGS.items()}
    together = all_agents(configs)
    state = together.start()
    state, metrics = together.compile(state)(together.swept, state, np.int32(2))
    for i, config in list(enumerate(configs.values()))[1:3]:
        alone = build(config)
        own = alone.start()
        own, own_metrics = alone.compile(own)(alone.swept, own, np.int32(2))
        ours = jax.tree.map(lambda x, i=i: x[i], state.nets)
        for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(own.nets), strict=True):
            np.testing.assert_allclose(a, b[0], atol=1e-5)
        np.testing.assert_allclose(metrics["value_loss"][i], own_metrics["value_loss"][0], rtol=1e-4)
