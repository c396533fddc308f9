"""Planning: tic-tac-toe from nothing to perfect play by self-play and search, and the search tree of one move."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from puzzlebox.pictures.page import Check, Equation, Picture, Table, Tile
from puzzlebox.pictures.tree_picture import draw_search
from puzzlebox.play.arena import make_game, meet, words
from puzzlebox.play.match import Boards
from puzzlebox.play.players import MonteCarlo, Perfect, Player, Random, make_searcher
from puzzlebox.runs.trained import open_trained
from puzzlebox.studies.tour.chapter import Chapter, Context, command
from puzzlebox.training.train import train

WORLD = "tic_tac_toe"
GAMES, FEWER = 1000, 256  # from each side: against the perfect player, against the others
POSITION = "0"  # the first player took a corner: only the centre holds


def planning(context: Context) -> Chapter:
    """Trains AlphaZero on tic-tac-toe, measures it against three opponents, and draws how it finds one move."""
    run = context.folder / "alphazero"
    trained = train("alphazero", WORLD, run=run, episodes=2)
    context.note("games against the perfect player")
    before, after = matches(run)
    context.note("the search tree of one move")
    trees = {
        name: draw_search(WORLD, moves=POSITION, player=player, simulations=50, out=context.folder / f"{name}.png")
        for name, player in (("before", f"{run},steps=0"), ("after", str(run)))
    }
    answer = trees["after"]["move"]
    lost, against = after["perfect"]["losses"], after["perfect"]
    rows = [
        [name, *(f"{words(found[name]['as_first'])}; {words(found[name]['as_second'])}" for found in (before, after))]
        for name in after
    ]
    return Chapter(
        headline=f"against the perfect player {words(against)} in {2 * GAMES} games, after {trained['seconds']:.0f} s",
        blocks=[
            "A player who knows the rules can think ahead: try a move, an answer, a move. There are too many lines to "
            "follow them all, so a tree search follows the promising ones, and something must say which are. AlphaZero "
            "learns that from nothing but games against itself. A network guesses for every position which moves are "
            "good (P) and who will win (v). The search, guided by it, plays better than the network alone. So the "
            "network learns to guess what the search found, and the next search is better still.",
            Equation(
                "search     follow  argmaxₐ  Q(s, a) + c · P(a | s) · √N(s) / (1 + N(s, a))\n"
                "learning   loss = (z − v)² − π · log P        z: who won,  π: what the search chose",
                "N counts visits, Q is the mean outcome of the games thought through so far.",
            ),
            "Nobody shows it a game. Before training it moves almost at random, as good as its search can make that. "
            "Afterwards it does not lose to a player that knows every position by heart.",
            Table(
                ["opponent", "before: beginning; second", "after: beginning; second"],
                rows,
                "Perfect play ends in a draw.",
            ),
            "And this is how it thinks about one move. The first player has taken a corner; of the eight answers all "
            "but the centre lose. Before training the network has no idea, and the search looks everywhere. Afterwards "
            "it looks where the network points, and sees farther.",
            Picture(
                context.folder / "before.png",
                "The search tree after a first move in the corner, before training",
                "Before training: 50 simulations by the readable tree, with the network's guesses.",
            ),
            Picture(
                context.folder / "after.png",
                "The same search after training",
                "After training.",
                width=560,
            ),
        ],
        checks=[
            Check(f"It loses none of {2 * GAMES} games against the perfect player ({words(against)})", lost == 0),
            Check(f"After a corner it answers in the centre (it plays {answer})", answer == "4"),
        ],
        protocol=f"One seed, {trained['steps']:,} moves of self-play. The perfect player chooses at random among best "
        f"moves. {GAMES} games from each side against it, {FEWER} against the others.",
        commands=[
            command("alphazero", WORLD, run="runs/az"),
            f"puzzlebox arena runs/az perfect --games {GAMES}",
            f"puzzlebox tree {WORLD} --moves {POSITION} --player runs/az",
        ],
        figures={"training_seconds": trained["seconds"], "before": before, "after": after, "trees": trees},
        tiles=[Tile(f"{lost} of {2 * GAMES}", "games of tic-tac-toe lost to the perfect player, learned from nothing")],
    )


def matches(run: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The figures against every opponent, before and after training; what is compiled once serves both."""
    game = make_game(WORLD)
    boards = Boards(game)
    opponents: list[Player] = [Random(), MonteCarlo(game, 100), Perfect(game)]
    agent = make_searcher("alphazero", str(run), WORLD, None)
    untrained = agent.as_if(open_trained(run, steps=0).state)
    before = {rival.name: meet(boards, untrained, rival, FEWER, None, 0) for rival in opponents}
    games = [GAMES if rival.name == "perfect" else FEWER for rival in opponents]
    after = {r.name: meet(boards, agent, r, n, None, 0) for r, n in zip(opponents, games, strict=True)}
    return before, after
