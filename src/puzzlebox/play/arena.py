"""``puzzlebox arena``: every player against every other, from both sides; a table, and Elo with intervals."""

from __future__ import annotations

import itertools
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np

from puzzlebox.envs import make
from puzzlebox.errors import UsageError
from puzzlebox.play import match
from puzzlebox.play.players import Player, make_player
from puzzlebox.runs.directory import Run
from puzzlebox.runs.progress import say
from puzzlebox.runs.trained import read_name
from puzzlebox.scale import backend
from puzzlebox.stats import elo
from puzzlebox.types import Game

OPENING_PLIES = 4  # random first moves where both players always play the same
NOTE_EVERY = 5.0  # seconds


def arena(
    players: list[str],
    *,
    game: str = "",
    games: int = 1000,
    simulations: int | None = None,
    opening_plies: int | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Every pair of ``players`` plays ``games`` games from each side; see `players` for their names.

    ``game``: its name; by default that of the first run among the players. ``simulations`` per move, for players whose
    name has no number. ``opening_plies``: so many first moves (of both sides together) are random; by default 4 where
    neither of the two ever varies its play, else none. Returns the Elo ratings and a row of `meet` per pair. Raises
    UsageError before anything compiles.
    """
    if len(players) < 2:
        raise UsageError("an arena needs two players or more, e.g. puzzlebox arena runs/az perfect")
    if len(set(players)) < len(players):
        twice = next(name for name in players if players.count(name) > 1)
        raise UsageError(f"{twice} is named twice; nobody can be told apart from himself")
    if games < 1:
        raise UsageError(f"games is {games}; it must be at least 1")
    if opening_plies is not None and opening_plies < 0:
        raise UsageError(f"opening-plies is {opening_plies}; it must be at least 0")

    # the game and the players
    backend.prepare()
    env = game or game_of(players)
    world = make_game(env)
    made = [make_player(name, env, world, simulations) for name in players]

    # everybody meets everybody
    boards = match.Boards(world)
    rows = []
    for i, j in itertools.combinations(range(len(made)), 2):
        rows.append(meet(boards, made[i], made[j], games, opening_plies, seed))

    # rate them all together
    ratings = rate(rows, [player.name for player in made])
    figures = {"game": env, "players": [player.name for player in made], "games": games, "seed": seed}
    if len(rows) == 1:
        figures |= rows[0]
    return figures | {"elo": ratings, "table": rows}


def meet(
    boards: match.Boards, a: Player, b: Player, games: int, opening_plies: int | None, seed: int
) -> dict[str, Any]:
    """A against B, ``games`` games from each side; all figures are A's, ``as_first`` are the games that A began.

    ``score`` is the share of points (a draw is half a point); ``elo_difference`` is A's Elo above B's, with its 95%
    interval ``elo_ci``.
    """
    plies = opening_plies if opening_plies is not None else 0 if a.varies or b.varies else OPENING_PLIES
    spoken, began = time.monotonic(), time.perf_counter()

    def note(finished: int) -> None:
        """Says how far the match is, every few seconds."""
        nonlocal spoken
        if time.monotonic() - spoken > NOTE_EVERY:
            spoken = time.monotonic()
            say(f"{a.name} against {b.name}: {finished} of {2 * games} games")

    # play: each from both sides, the same openings
    first_key, second_key = jax.random.split(jax.random.key(seed))
    openings: Any = {"opening_plies": plies, "opening_seed": seed}
    first = match.play_match(boards, a, b, games, first_key, note=note, **openings)
    other = match.play_match(boards, b, a, games, second_key, note=lambda done: note(games + done), **openings)

    # count for A: the second record is B's, so wins and losses change places
    as_first, as_second = first.counts(), other.counts()[::-1]
    wins, draws, losses = (x + y for x, y in zip(as_first, as_second, strict=True))
    gap = elo.rate(np.array([[0, wins], [losses, 0]]), np.array([[0, draws], [draws, 0]])).difference[0, 1]
    return {
        "a": a.name,
        "b": b.name,
        "wins": wins,
        "draws": draws,
        "losses": losses,
        "score": (wins + draws / 2) / (2 * games),
        "as_first": named(as_first),
        "as_second": named(as_second),
        "elo_difference": float(gap[0]),
        "elo_ci": [float(gap[1]), float(gap[2])],
        "distinct_games": len(first.distinct) + len(other.distinct),
        "opening_plies": plies,
        "moves": sum(first.lengths) + sum(other.lengths),
        "seconds": round(time.perf_counter() - began, 3),
    }


def named(counts: tuple[int, int, int]) -> dict[str, int]:
    """Wins, draws and losses under their names."""
    return dict(zip(("wins", "draws", "losses"), counts, strict=True))


def rate(rows: list[dict[str, Any]], names: list[str]) -> dict[str, dict[str, Any]]:
    """Elo and its 95% interval for every player, from all their games together; mean zero, the best first."""
    wins, draws = np.zeros((len(names), len(names))), np.zeros((len(names), len(names)))
    for row in rows:
        i, j = names.index(row["a"]), names.index(row["b"])
        wins[i, j], wins[j, i] = row["wins"], row["losses"]
        draws[i, j] = draws[j, i] = row["draws"]
    ratings = elo.rate(wins, draws)
    order = np.argsort(-ratings.elo)
    return {
        names[i]: {"elo": float(ratings.elo[i]), "elo_ci": [float(ratings.low[i]), float(ratings.high[i])]}
        for i in order
    }


def game_of(names: list[str], way_out: str = "say what they shall play: --game connect_four") -> str:
    """The game that the first run among ``names`` was trained on; raises UsageError where none is a run."""
    for name in names:
        path = Path(read_name(name)[0]) if "," in name else Path(name)
        if (path / "config.json").is_file():
            return str(Run.open(path).config["env"])
    raise UsageError(f"there is no run among {', '.join(names)}, so {way_out}")


def make_game(env: str) -> Game:
    """The game called ``env``; raises UsageError for a world that is no game of two players."""
    world = make(env)
    if not isinstance(world, Game) or world.num_players != 2:
        raise UsageError(f"{env} is no game for two players, such as tic_tac_toe, connect_four or pgx:othello")
    return world


def summary_lines(figures: dict[str, Any]) -> list[str]:
    """The figures for a person."""
    names = list(figures["elo"])
    width = max(map(len, names))
    out = [f"{figures['game']}, {figures['games']} games from each side"]
    if len(names) > 2:
        out += cross_table(figures, names, width)
    for row in figures["table"]:
        out.append(f"{row['a']} against {row['b']}: {verdict(row)}")
        out += [f"  {label:10} {words(row[key])}" for label, key in (("first", "as_first"), ("second", "as_second"))]
        low, high = row["elo_ci"]
        out.append(
            f"  score {row['score']:.1%}, Elo difference {row['elo_difference']:+.0f} "
            f"(95% interval {low:+.0f} to {high:+.0f}), {row['distinct_games']} different games"
        )
    return out


def cross_table(figures: dict[str, Any], names: list[str], width: int) -> list[str]:
    """One line per player: Elo, and the share of points against every other."""
    scores = {(row["a"], row["b"]): row["score"] for row in figures["table"]}
    scores |= {(b, a): 1 - score for (a, b), score in scores.items()}
    out = [f"{'':3}{'':{width}}    Elo   95% interval  " + "".join(f"{i:>8}" for i in range(1, len(names) + 1))]
    for i, name in enumerate(names, 1):
        rating, (low, high) = figures["elo"][name]["elo"], figures["elo"][name]["elo_ci"]
        cells = "".join(f"{scores[name, other]:8.1%}" if other != name else f"{'·':>8}" for other in names)
        out.append(f"{i:2} {name:{width}} {rating:+6.0f} {low:+6.0f} to {high:+5.0f} {cells}")
    return out


def verdict(row: dict[str, Any]) -> str:
    """What the interval of the Elo difference allows to say about A."""
    low, high = row["elo_ci"]
    return "stronger" if low > 0 else "weaker" if high < 0 else "they cannot be told apart"


def words(record: dict[str, int]) -> str:
    """Games won, drawn and lost, for a person."""
    return f"{record['wins']} won, {record['draws']} drawn, {record['losses']} lost"
