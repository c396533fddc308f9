"""The rules behind a score are told where there are any, as trained and as scored."""

import pytest

from puzzlebox.envs import make
from puzzlebox.runs import protocol

pytest.importorskip("ale_py")


def test_a_pure_world_has_no_protocol():
    env = make("CartPole-v1")
    assert protocol.for_scores(env) is env
    assert protocol.recorded(env) == {} and protocol.of_scores(env, 100) == {} and protocol.protocol_lines({}) == []
    assert protocol.default_episodes(env) == 100


def test_a_simulators_rules_stand_in_the_run_and_beside_the_score():
    env = make("atari:breakout,life_loss=true,sticky=0.1,frame_skip=3")
    rules = protocol.recorded(env)["protocol"]
    differ = {name for name, value in rules["training"].items() if value != rules["evaluation"][name]}
    assert differ == {"reward_clipping", "life_loss_ends_episode"}
    figures = {"steps": 20_000} | protocol.of_scores(env, 20_000)
    assert figures["frames"] == 60_000 and figures["protocol"] == rules["evaluation"]
    words, frames = protocol.protocol_lines(figures)
    assert words.startswith("protocol: ale-py ") and frames == "20,000 steps are 60,000 frames"
    for said in ("sticky actions 0.1, frames per step 3, no full action set, no reward clipping", "108,000"):
        assert said in words
    assert protocol.default_episodes(env) == 8


def test_lists_and_weights_in_words():
    rules = {"simulator": "stable-retro 1.0.1", "start_states": ["A"], "actions": ["none", "B", "A", "C"]}
    figures = {"steps": 1, "frames": 4, "protocol": rules | {"six_terms": {"new_area": 0.5, "speed": 0.0}}}
    expected = "protocol: stable-retro 1.0.1, start states A, 4 actions, six terms new area 0.5 speed 0"
    assert protocol.protocol_lines(figures)[0] == expected
