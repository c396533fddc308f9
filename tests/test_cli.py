"""The command line as a user meets it: real processes for the outcome, bad input in one line with exit code 2."""

import json
import subprocess
import sys

import pytest

from puzzlebox.cli import main, parse
from puzzlebox.runs.configure import configure
from puzzlebox.scale.backend import cores

BAD = [
    (["train", "pppo", "CartPole-v1"], "unknown algorithm 'pppo'; did you mean ppo"),
    (["train", "sac", "CartPole-v1"], "unknown algorithm 'sac'; there are: tabular: monte_carlo, sarsa"),
    (["train", "ppo", "CartPol-v1"], "unknown environment 'CartPol-v1'; did you mean CartPole-v1"),
    (["train", "ppo", "LunarLander-v3"], "gym:LunarLander-v3"),
    (["train", "ppo", "gym:CartPole-v9"], "gym:CartPole-v"),
    (["train", "ppo", "gum:CartPole-v1"], "unknown environment prefix 'gum'; did you mean gym"),
    (["train", "dqn", "Pendulum-v1"], "dqn needs discrete actions"),
    (["train", "ppo", "CartPole-v1", "--num-minibatches", "7"], "num_minibatches is 7, which does not divide"),
    (["train", "ppo", "CartPole-v1", "--discount", "1.5"], "discount is 1.5; it must be at most 1"),
    (["train", "ppo", "CartPole-v1", "--discount", "0.9,-1"], "discount is -1.0; it must be at least 0"),
    (["train", "ppo", "CartPole-v1", "--num-envs", "4,8"], "num_envs is '4,8'; it must be a whole number"),
    (["train", "ppo", "CartPole-v1", "--learning-rat", "1"], "unknown flag of train ppo '--learning-rat'"),
    (["train", "grpo", "arith", "--beta", "0"], "unknown flag of train grpo '--beta'; here it is called --kl-coef"),
    (["train", "dpo", "arith", "--kl-coef", "0"], "unknown flag of train dpo '--kl-coef'; here it is called --beta"),
    (["solve", "grid/robot", "grid/toy"], "unrecognized arguments: grid/toy; see puzzlebox solve --help"),
    (["train", "ppo", "CartPole-v1", "--learning-rate", "fast"], "learning_rate is 'fast'; it must be a number"),
    (["train", "dqn", "CartPole-v1", "--loss", "cubic"], "loss is 'cubic'; choose one of: huber, squared"),
    (["train", "ppo", "CartPole-v1", "--steps", "10"], "steps is 10, but one iteration of ppo takes"),
    (["train", "ppo", "CartPole-v1", "--seeds", "0"], "seeds is 0; it must be at least 1"),
    (["train", "ppo", "CartPole-v1", "--seeds", "2000000"], "seeds is 2000000; it must be at least 1 and at most"),
    (["train", "ppo", "CartPole-v1", "--seeds", "many"], "argument --seeds: invalid int value: 'many'"),
    (["train", "ppo", "CartPole-v1,time_limit=0"], "time_limit is 0; it must be at least 1"),
    (["train", "ppo", "CartPole-v1,gravity=3"], "unknown option of CartPole-v1 'gravity'"),
    (["train", "ppo", "CartPole-v1,gravity"], "is no option"),
    (["train"], "the following arguments are required: ALGORITHM, ENV"),
    (["trian", "ppo"], "unknown command 'trian'; did you mean train"),
    (["solve", "CartPole-v1"], "CartPole-v1"),
    (["solve", "grid/robot", "--gamma", "1.01"], "1.01"),
    (["solve", "grid/robot", "--method", "value_iterations"], "did you mean value_iteration"),
    (["solve", "grid:nowhere.txt"], "nowhere.txt"),
    (["resume", "nowhere"], "there is no run directory nowhere"),
    (["evaluate", "nowhere"], "there is no run directory nowhere"),
    (["compare", "nowhere", "elsewhere"], "there is no run directory nowhere"),
    (["plot", "nowhere"], "there is no run directory nowhere"),
    (["watch", "nowhere"], "there is no run directory nowhere"),
]


@pytest.mark.parametrize(("argv", "message"), BAD, ids=[" ".join(argv) for argv, _ in BAD])
def test_bad_input_is_one_line_and_exit_code_2(argv, message, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert main(argv) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("puzzlebox: ")
    assert err.count("\n") == 1
    assert message in err
    assert list(tmp_path.iterdir()) == []


def test_a_malformed_map_names_the_place(capsys, tmp_path):
    (tmp_path / "map.txt").write_text("S..\n.?G\n")
    assert main(["solve", f"grid:{tmp_path / 'map.txt'}"]) == 2
    err = capsys.readouterr().err
    assert "?" in err
    assert "2" in err


def test_a_map_without_its_prefix_is_told_its_name(capsys, tmp_path):
    (tmp_path / "map.txt").write_text("S.G\n")
    assert main(["solve", str(tmp_path / "map.txt")]) == 2
    assert f"the world of a map is called grid:{tmp_path / 'map.txt'}" in capsys.readouterr().err


def test_running_out_of_memory_is_one_line(capsys, monkeypatch):
    def allocate():
        raise RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 17 bytes.")

    monkeypatch.setattr("puzzlebox.runs.catalogue.list_names", allocate)
    assert main(["list"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("puzzlebox: out of memory (RESOURCE_EXHAUSTED") and error.count("\n") == 1


def test_json_is_alone_on_standard_output_and_every_core_is_used(tmp_path):
    command = [sys.executable, "-m", "puzzlebox", "train", "ppo", "probe/one-action"]
    flags = ["--steps", "2000", "--seeds", "2", "--episodes", "4", "--run", str(tmp_path / "r"), "--json"]
    done = subprocess.run([*command, *flags], capture_output=True, text=True, check=True)
    figures = json.loads(done.stdout)
    wanted = "algorithm env seeds steps return_mean return_iqm return_ci seconds compile_seconds steps_per_second run"
    assert set(wanted.split()) <= set(figures)
    assert figures["return_mean"] == 1.0
    assert "compiling" in done.stderr
    config = json.loads((tmp_path / "r" / "config.json").read_text())
    assert config["hardware"]["devices"] == config["hardware"]["cores"] == cores()


def test_the_module_of_the_command_line_runs_it():
    done = subprocess.run([sys.executable, "-m", "puzzlebox.cli", "--version"], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.startswith("puzzlebox ")


def test_list_names_every_algorithm(capsys):
    assert main(["list", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert {"ppo", "dqn", "q_learning", "reinforce"} <= set(listed["algorithms"])
    assert "grid/robot" in listed["envs"]


def test_the_discount_is_understood_by_both_of_its_names():
    for words in (["--discount", "0.9"], ["--gamma", "0.9"], ["--gamma=0.9"]):
        assert parse(["train", "ppo", "CartPole-v1", *words])[1]["discount"] == "0.9"
        assert parse(["solve", "grid/toy", *words])[1]["discount"] == 0.9
    assert configure("ppo", "CartPole-v1", 1, 0, {"gamma": 0.9})["hyperparameters"]["discount"] == 0.9
