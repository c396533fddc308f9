"""What a person reads: no Python lists, and IQM explained once."""

from puzzlebox.evaluation.doctor import plain_value
from puzzlebox.evaluation.report import explained
from puzzlebox.evaluation.winrate import asked


def test_iqm_is_explained_where_it_stands_first():
    lines = explained(["ppo", "greedy IQM 1, IQM 2", "sampled IQM 3"])
    assert lines == ["ppo", "greedy IQM (interquartile mean) 1, IQM 2", "sampled IQM 3"]
    assert explained(["nothing"]) == ["nothing"]


def test_no_python_list_reaches_a_person():
    assert plain_value([0.25, 0.5]) == "0.25 → 0.5"
    assert plain_value(["loss", "entropy"]) == "loss, entropy"
    assert plain_value(3) == "3"
    assert asked("2+2=") == "2+2="
    assert asked([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"}]) == "Why?"
