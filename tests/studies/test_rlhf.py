"""The four phases: what each is given, the table, and requests that cannot be met."""

import pytest

from puzzlebox.cli import main
from puzzlebox.studies.rlhf import FROM_NOTHING, markdown, phase_settings

STEPS = {"sft": 0, "reward_model": 7, "ppo_lm": 0}


def test_steps_asked_for_count_before_quick_ones_and_usual_ones():
    usual = phase_settings("new,layers=1", False, STEPS)
    assert usual["sft"] == FROM_NOTHING["sft"]
    assert usual["reward_model"] == FROM_NOTHING["reward_model"] | {"steps": 7}
    quick = phase_settings("new", True, STEPS)
    assert quick["sft"]["steps"] == FROM_NOTHING["sft"]["steps"] // 5
    assert quick["reward_model"]["steps"] == 7


def test_a_large_model_keeps_the_algorithms_own_settings():
    settings = phase_settings("smollm2", False, STEPS)
    assert settings == {"sft": {"steps": 300}, "reward_model": {"steps": 7}, "ppo_lm": {"steps": 100}}


def test_the_table_is_safe_to_show():
    row = {"prompt": "a|b", "before": "x\n\x1by", "before_correct": False, "after": "z" * 99, "after_correct": True}
    assert markdown([row])[2] == f"| a\\|b | x \ufffdy ✗ | {'z' * 57}… ✓ |"


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--sft-steps", "-1"], "sft_steps is -1; it must be at least 1"),
        (["arit"], "unknown task 'arit'; did you mean arith"),
        (["--model", "nowhere"], "there is no model 'nowhere'"),
    ],
)
def test_bad_requests(argv, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["rlhf", *argv]) == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
