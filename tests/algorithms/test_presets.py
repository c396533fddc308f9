"""Presets: which values they are, and where they hold."""

import pytest

from puzzlebox.algorithms import algorithm_class
from puzzlebox.algorithms.presets import PRESETS, preset
from puzzlebox.errors import UsageError
from puzzlebox.fields import params
from puzzlebox.runs.configure import configure

TINY = "new,layers=1,width=16,heads=2,kv_heads=2,hidden=16"


@pytest.mark.parametrize(("algorithm", "env"), PRESETS)
def test_every_preset_is_a_hyper_parameter(algorithm, env):
    assert PRESETS[algorithm, env].keys() <= params(algorithm_class(algorithm)).keys()
    assert preset(algorithm, env) == PRESETS[algorithm, env]


def test_options_do_not_matter_but_the_chat_style():
    assert preset("grpo", "arith,level=sums,digits=3,style=plain") == PRESETS["grpo", "arith"] != {}
    assert preset("grpo", "arith,level=sums,style=chat") == preset("grpo", "arith,style = chat") == {}
    assert preset("ppo", "CartPole-v1") == {}


def test_the_version_of_a_gymnasium_environment_does_not_matter():
    assert preset("ppo", "gym:LunarLander-v3,gravity=-9") == preset("ppo", "gym:LunarLander") != {}


def test_a_prefix_holds_for_all_its_worlds():
    assert preset("ppo", "atari:pong,sticky=0") == preset("ppo", "retro:Airstriker-Genesis-v0") != {}
    assert preset("dqn", "atari:breakout")["capacity"] == 1_000_000
    assert preset("ppo", "gym:CartPole-v1") == preset("ppo", "atari") == {}


def test_what_is_returned_may_be_changed():
    preset("grpo", "arith")["temperature"] = 0
    assert "temperature" not in preset("grpo", "arith")


def test_a_request_in_words_trains_with_the_defaults():
    used = configure("grpo", "arith,style=chat", 1, 0, {"model": TINY})["hyperparameters"]
    assert used["learning_rate"] == params(algorithm_class("grpo"))["learning_rate"].default
    used = configure("grpo", "arith,style=plain", 1, 0, {"model": TINY})["hyperparameters"]
    assert used["learning_rate"] == PRESETS["grpo", "arith"]["learning_rate"]
    with pytest.raises(UsageError, match="style is 'talk'"):
        configure("grpo", "arith,style=talk", 1, 0, {"model": TINY})
