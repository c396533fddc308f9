"""The commands for games and planning."""

from __future__ import annotations

from pathlib import Path

from puzzlebox.commands.command import Command, Flag, seed

GAME = Flag("game", "tic_tac_toe, connect_four, pgx:othello, …; see: puzzlebox list")
SEARCH = (
    Flag(
        "--simulations",
        "of every search (default: mcts 1000, shipped 200, a run as it was trained)",
        int,
        metavar="N",
    ),
    seed("of everything random"),
)

COMMANDS = {
    "play": Command(
        "puzzlebox.play.terminal:play_game",
        "play a game against a trained agent, or another player, in the terminal",
        (
            GAME,
            Flag(
                "--against",
                "a run of alphazero, muzero or clone, shipped, perfect, mcts, mcts:N, random or human "
                "(default: shipped where weights come with the package, else mcts)",
                metavar="PLAYER",
            ),
            Flag("--moves", "your moves, in order; without a terminal the game stops there", metavar="M,M,…"),
            Flag("--first", "who begins: me or them", metavar="WHO", default="me"),
            *SEARCH,
        ),
        show="",
        python="play_game",  # puzzlebox.play is a folder
    ),
    "arena": Command(
        "puzzlebox.play.arena:arena",
        "many games between players: a table, and Elo with intervals",
        (
            Flag(
                "players",
                "runs (DIR or DIR,agent=2,steps=0,simulations=64), shipped, perfect, mcts, mcts:N, random",
                nargs="+",
                metavar="PLAYER",
            ),
            Flag("--game", "what they play (default: what the run learned)"),
            Flag("--games", "of every pair, from each side", int, default="1000"),
            Flag(
                "--opening-plies",
                "so many first moves are random (default: 4 where both always play the same game, else 0)",
                int,
                metavar="N",
            ),
            *SEARCH,
        ),
    ),
    "tree": Command(
        "puzzlebox.pictures.tree_picture:draw_search",
        "draw the search tree of one move",
        (
            GAME,
            Flag("--moves", "the moves of both that lead to the position", metavar="M,M,…"),
            Flag(
                "--player",
                "a run of alphazero, muzero or clone, shipped or mcts (default: shipped where there is one, else mcts)",
            ),
            Flag("--simulations", "of the search", int, metavar="N", default="50"),
            seed("of random games"),
            Flag("--out", "the picture", Path, metavar="FILE", default="tree.png"),
        ),
    ),
    "uci": Command(
        "puzzlebox.play.uci:uci",
        "a chess player as an engine for chess programs",
        (Flag("player", "a run on pgx:chess or pgx:gardner_chess; also mcts:N or random", metavar="DIR"), *SEARCH),
        show="",
    ),
}
