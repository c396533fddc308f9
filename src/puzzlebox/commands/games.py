"""The commands for games and planning; see `commands`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any


def play(arguments: argparse.Namespace) -> dict[str, Any]:
    from puzzlebox.play.terminal import play_game
    from puzzlebox.scale import backend

    backend.prepare()
    return play_game(
        arguments.game,
        arguments.against,
        moves=arguments.moves,
        first=arguments.first,
        simulations=arguments.simulations,
        seed=arguments.seed,
        out=sys.stderr if arguments.json else sys.stdout,
    )


def arena(arguments: argparse.Namespace) -> dict[str, Any]:
    from puzzlebox.play import arena
    from puzzlebox.scale import backend

    backend.prepare()
    figures = arena.arena(
        arguments.players,
        game=arguments.game,
        games=arguments.games,
        simulations=arguments.simulations,
        opening_plies=arguments.opening_plies,
        seed=arguments.seed,
    )
    if not arguments.json:
        print("\n".join(arena.summary_lines(figures)))
    return figures


def tree(arguments: argparse.Namespace) -> dict[str, Any]:
    from puzzlebox.pictures import tree_picture
    from puzzlebox.scale import backend

    backend.prepare()
    figures = tree_picture.draw_search(
        arguments.game,
        moves=arguments.moves,
        player=arguments.player,
        simulations=arguments.simulations,
        seed=arguments.seed,
        out=arguments.out,
    )
    if not arguments.json:
        print("\n".join(tree_picture.summary_lines(figures)))
    return figures


def uci(arguments: argparse.Namespace) -> dict[str, Any]:
    from puzzlebox.play.uci import uci
    from puzzlebox.scale import backend

    backend.prepare()
    out = sys.stderr if arguments.json else sys.stdout
    return uci(arguments.player, sys.stdin, out, simulations=arguments.simulations, seed=arguments.seed)


def game_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("game", metavar="GAME", help="tic_tac_toe, connect_four, pgx:othello, …; see: puzzlebox list")


def search_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--simulations",
        type=int,
        metavar="N",
        help="of every search (default: mcts 1000, shipped 200, a run as it was trained)",
    )
    parser.add_argument("--seed", type=int, default=0, help="of everything random (default 0)")


def play_arguments(parser: argparse.ArgumentParser) -> None:
    game_argument(parser)
    parser.add_argument(
        "--against",
        default="",
        metavar="PLAYER",
        help="a run of alphazero, muzero or clone, shipped, perfect, mcts, mcts:N, random or human "
        "(default: shipped where weights come with the package, else mcts)",
    )
    parser.add_argument(
        "--moves", metavar="M,M,…", help="your moves, in order; without a terminal the game stops there"
    )
    parser.add_argument("--first", default="me", metavar="WHO", help="who begins: me (default) or them")
    search_arguments(parser)


def arena_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "players",
        metavar="PLAYER",
        nargs="+",
        help="runs (DIR or DIR,agent=2,steps=0,simulations=64), shipped, perfect, mcts, mcts:N, random",
    )
    parser.add_argument("--game", default="", metavar="GAME", help="what they play (default: what the run learned)")
    parser.add_argument("--games", type=int, default=1000, help="of every pair, from each side (default 1000)")
    parser.add_argument(
        "--opening-plies",
        type=int,
        metavar="N",
        help="so many first moves are random (default: 4 where both always play the same game, else 0)",
    )
    search_arguments(parser)


def tree_arguments(parser: argparse.ArgumentParser) -> None:
    game_argument(parser)
    parser.add_argument("--moves", default="", metavar="M,M,…", help="the moves of both that lead to the position")
    parser.add_argument(
        "--player",
        default="",
        help="a run of alphazero, muzero or clone, shipped or mcts (default: shipped where there is one, else mcts)",
    )
    parser.add_argument("--simulations", type=int, default=50, metavar="N", help="of the search (default 50)")
    parser.add_argument("--seed", type=int, default=0, help="of random games (default 0)")
    parser.add_argument("--out", type=Path, default=Path("tree.png"), metavar="FILE", help="default tree.png")


def uci_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("player", metavar="DIR", help="a run on pgx:chess or pgx:gardner_chess; also mcts:N or random")
    search_arguments(parser)


COMMANDS: dict[str, tuple[Callable, str, Callable]] = {
    "play": (play, "play a game against a trained agent, or another player, in the terminal", play_arguments),
    "arena": (arena, "many games between players: a table, and Elo with intervals", arena_arguments),
    "tree": (tree, "draw the search tree of one move", tree_arguments),
    "uci": (uci, "a chess player as an engine for chess programs", uci_arguments),
}
