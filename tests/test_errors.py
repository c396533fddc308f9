"""Names that do not exist are answered with those that do."""

from puzzlebox.errors import unknown


def test_near_names_come_first_then_those_that_begin_alike_then_some_of_all():
    assert str(unknown("game", "pog", ["pong", "breakout"])) == "unknown game 'pog'; did you mean pong?"
    assert str(unknown("x", "sac", ["star", "sarsa"])) == "unknown x 'sac'; there are: sarsa, star"
    long = [f"SonicTheHedgehog{i}-Genesis-v0" for i in "23"]
    assert str(unknown("game", "sonic2", [*long, "Mario"])).endswith(f"did you mean {long[0]} or {long[1]}?")
    assert str(unknown("game", "zzz", ["b", "a"])) == "unknown game 'zzz'; there are: a, b"
    assert str(unknown("game", "zzz", [f"{i:03}" for i in range(100)])).endswith("058, 059 and 40 more")
