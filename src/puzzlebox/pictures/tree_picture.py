"""``puzzlebox tree``: the search tree of one move as a picture.

Every box is a position: the board, N (visits), Q (the mean outcome for whoever moved there) and P (how likely the move
was thought to be before searching). The thicker a line, the more visits; the line of most visits is orange. A box is
the greener, the better the move was for the one who made it, and the redder, the worse.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyBboxPatch, Rectangle

from puzzlebox.acting import tree
from puzzlebox.acting.tree import Evaluate, Node, Score
from puzzlebox.envs.games.moves import from_moves
from puzzlebox.errors import UsageError
from puzzlebox.pictures.grid_pictures import INK, save
from puzzlebox.play.arena import make_game
from puzzlebox.runs.directory import writing
from puzzlebox.runs.trained import open_trained, read_name, shipped
from puzzlebox.scale import backend
from puzzlebox.types import Board, Game

SHOWN = 22  # boxes; the rest is counted
DEEPEST = 4  # moves below the root
FEWEST = 2  # visits of a box below the first moves
BOX, CAPTION = 0.84, 0.50  # side of a board and height of the words, in units of the distance between boxes
LEVEL = 1.85  # distance between levels
UNIT = 0.98  # inches
SCALE = LinearSegmentedColormap.from_list("outcome", ["#e58a80", "#fbfaf7", "#86c79a"])
MAIN, STONE = "#D55E00", {1: "#1f5fa8", -1: "#c2452d"}


Edge = dict[int, float]  # the outermost place on each level


class Box(NamedTuple):
    """A node's place in the picture, its move and the box above it."""

    node: Node
    x: float
    depth: int
    action: int | None
    parent: int | None
    main: bool  # on the line of most visits
    hidden: int  # children visited but not shown


def draw_search(
    game: str,
    *,
    moves: str = "",
    player: str = "",
    simulations: int = 50,
    seed: int = 0,
    out: str | Path = "tree.png",
) -> dict[str, Any]:
    """Searches the position after ``moves`` with the readable tree and draws it into ``out`` (PNG).

    ``player``: mcts, or a run of alphazero, muzero or clone, whose network guesses; default the shipped weights, else
    mcts. Raises UsageError for what is no game, no such player, a position in which nothing can be moved, and zero
    simulations.
    """
    if simulations < 1:
        raise UsageError(f"simulations is {simulations}; a search needs at least 1")
    backend.prepare()

    # the position and who thinks about it
    world = make_game(game)
    player = player or ("shipped" if shipped(game) else "mcts")
    evaluate, score = guesses(player, game, world)
    state, position = from_moves(world, moves)
    if bool(position.terminated):
        raise UsageError(f"the game has ended after {moves}; there is nothing to search")

    # search
    root = tree.grow(world, state, position, evaluate, jax.random.key(seed), simulations, score)
    kind = "UCT, random games" if score is tree.uct else "PUCT, a network"
    title = f"The search tree of one move: {simulations} simulations ({kind})"

    # draw
    path = Path(out)
    with writing(path):
        save(picture(world, root, title, prior=score is tree.puct), path)

    # the same in figures
    best = tree.best(root)
    ranked = sorted(root.children, key=lambda a: -root.children[a].visits)
    children = {
        world.move_name(state, a): {
            "visits": root.children[a].visits,
            "value": root.children[a].value(root.player),
            "prior": root.children[a].prior,
        }
        for a in ranked
    }
    return {
        "game": game,
        "moves": moves,
        "player": player,
        "simulations": simulations,
        "move": world.move_name(state, best),
        "value": root.value(root.player),
        "children": children,
        "picture": str(path),
    }


def guesses(player: str, env: str, game: Game) -> tuple[Evaluate, Score]:
    """How the tree of a player guesses and chooses; raises UsageError for a player without such a tree."""
    if player == "mcts":
        return tree.random_games(game), tree.uct
    place = shipped(env) if player == "shipped" else None
    base, options = (str(place), {}) if place else read_name(player)
    if not Path(base).is_dir():
        raise UsageError(f"'{player}' has no tree to draw; name a run of alphazero, muzero or clone, or mcts")
    trained = open_trained(base, options.get("agent", 0), options.get("steps"), env)
    return tree.networks(lambda observation: trained.algorithm.predict(trained.state, observation)), tree.puct


def picture(game: Game, root: Node, title: str = "", prior: bool = True) -> Figure:
    """The most visited part of the tree, at most `SHOWN` boxes and `DEEPEST` moves deep; ``prior``: with P."""
    boxes = arrange(root)
    width = max(box.x for box in boxes) + 1
    depth = max(box.depth for box in boxes)
    height = depth * LEVEL + BOX + CAPTION
    size = max(width, 7.5) * UNIT + 0.4, height * UNIT + 1.4
    figure = Figure(figsize=size)
    axes = figure.add_axes((0.2 / size[0], 0.2 / size[1], 1 - 0.4 / size[0], 1 - 1.3 / size[1]))
    axes.set_axis_off()
    axes.set_aspect("equal", anchor="N")
    centre = (width - 1) / 2
    half = max(width, 7.5) / 2
    axes.set_xlim(centre - half, centre + half)
    axes.set_ylim(depth * LEVEL + BOX / 2 + CAPTION, -BOX / 2 - 0.1)
    for box in boxes:
        draw_line(axes, boxes, box, root.visits)
    for box in boxes:
        draw_box(axes, game, boxes, box, prior)
    figure.text(0.25 / size[0], 1 - 0.36 / size[1], title, color=INK, fontsize=13, weight="bold")
    words = "N visits · Q mean outcome for whoever moved there" + " · P likelihood by the network" * prior
    legend = f"{words}\n+n more were visited · orange: the line of most visits"
    figure.text(0.25 / size[0], 1 - 0.54 / size[1], legend, color="#666666", fontsize=9, va="top", linespacing=1.4)
    return figure


def arrange(root: Node) -> list[Box]:
    """The boxes to draw with their places, parents before children and above their middle.

    Subtrees are pushed together until they touch on some level (Reingold & Tilford 1981).
    """
    chosen = most_visited(root)
    boxes: list[Box] = []

    def place(node: Node, depth: int, action: int | None, parent: int | None, main: bool) -> tuple[Edge, Edge]:
        """Places a subtree with its leftmost child at 0; returns its outer places per level, left and right."""
        index = len(boxes)
        shown = [(a, child) for a, child in node.children.items() if id(child) in chosen]
        hidden = sum(child.visits > 0 for child in node.children.values()) - len(shown)
        boxes.append(Box(node, 0.0, depth, action, parent, main, hidden))
        best = max(shown, key=lambda pair: pair[1].visits)[0] if shown else None
        left: Edge = {}
        right: Edge = {}
        places = []
        for a, child in shown:
            first = len(boxes)
            inner, outer = place(child, depth + 1, a, index, main and a == best)
            shift = max((right[level] + 1 - inner[level] for level in inner if level in right), default=0.0)
            for i in range(first, len(boxes)):
                boxes[i] = boxes[i]._replace(x=boxes[i].x + shift)
            left = {level: inner[level] + shift for level in inner} | left
            right |= {level: outer[level] + shift for level in outer}
            places.append(boxes[first].x)
        x = (places[0] + places[-1]) / 2 if places else 0.0
        boxes[index] = boxes[index]._replace(x=x)
        return left | {depth: x}, right | {depth: x}

    left, _ = place(root, 0, None, None, True)
    return [box._replace(x=box.x - min(left.values())) for box in boxes]


def most_visited(root: Node) -> set[int]:
    """The ids of the `SHOWN` most visited nodes, none without its parent."""
    chosen, edge = {id(root)}, [(child, 1) for child in root.children.values()]
    while edge and len(chosen) < SHOWN:
        node, depth = max(edge, key=lambda entry: (entry[0].visits, -entry[1]))
        edge = [entry for entry in edge if entry[0] is not node]
        if node.visits >= (FEWEST if depth > 1 else 1):
            chosen.add(id(node))
            edge += [(child, depth + 1) for child in node.children.values()] if depth < DEEPEST else []
    return chosen


def draw_line(axes: Axes, boxes: list[Box], box: Box, most: int) -> None:
    """The line from a box to the one above it."""
    if box.parent is None:
        return
    above = boxes[box.parent]
    top = above.depth * LEVEL + BOX / 2 + (CAPTION if above.parent is not None or above.hidden else 0.3)
    bottom = box.depth * LEVEL - BOX / 2
    bend = (top + bottom) / 2
    path = np.array([[above.x, top], [above.x, bend], [box.x, bend], [box.x, bottom]])
    curve = _bezier(path)
    width = 0.7 + 5 * box.node.visits / max(most, 1)
    axes.plot(*curve.T, color=MAIN if box.main else "#b9bfc6", lw=width, zorder=1.5 if box.main else 1, snap=False)


def draw_box(axes: Axes, game: Game, boxes: list[Box], box: Box, prior: bool) -> None:
    """The board with its words below."""
    node, x, y = box.node, box.x, box.depth * LEVEL
    mover = boxes[box.parent].node.player if box.parent is not None else node.player
    value = node.value(mover)
    colour = "#fbfaf7" if box.parent is None else SCALE((value + 1) / 2)
    axes.add_patch(
        FancyBboxPatch(
            (x - BOX / 2, y - BOX / 2),
            BOX,
            BOX,
            boxstyle="round,pad=0,rounding_size=0.07",
            facecolor=colour,
            edgecolor=MAIN if box.main else "#8d96a0",
            lw=1.6 if box.main else 0.8,
            zorder=2,
        )
    )
    draw_board(axes, game, boxes, box)
    shown = f"{value:+.2f}".replace("-", "−") if abs(value) >= 0.005 else "0.00"
    words = f"N {node.visits}  Q {shown}\n"
    notes = [f"P {node.prior:.2f}"] if prior and box.parent is not None else []
    notes += ["end"] if node.terminated else [f"+{box.hidden}"] if box.hidden else []
    words += "  ".join(notes)
    axes.text(x, y + BOX / 2 + 0.05, words, ha="center", va="top", fontsize=7.6, color=INK, linespacing=1.25)


def draw_board(axes: Axes, game: Game, boxes: list[Box], box: Box) -> None:
    """The stones, where the game has a board of them, with a ring around the last one; else the name of the move."""
    board = stones(box.node)
    if board is None:
        name = "start" if box.parent is None else game.move_name(boxes[box.parent].node.state, int(box.action or 0))
        axes.text(box.x, box.depth * LEVEL, name, ha="center", va="center", fontsize=10, color=INK, zorder=4)
        return
    rows, columns = board.shape
    cell = 0.92 * BOX / max(rows, columns)
    left, top = box.x - columns * cell / 2, box.depth * LEVEL - rows * cell / 2
    before = stones(boxes[box.parent].node) if box.parent is not None else board
    for row in range(rows):
        for column in range(columns):
            x, y = left + (column + 0.5) * cell, top + (row + 0.5) * cell
            axes.add_patch(
                Rectangle((x - cell / 2, y - cell / 2), cell, cell, fill=False, edgecolor="#c4c9ce", lw=0.5, zorder=3)
            )
            stone = int(board[row, column])
            if stone:
                new = before is not None and before[row, column] != stone
                _draw_stone(axes, x, y, cell, stone, rows == 3, new)


def stones(node: Node) -> np.ndarray | None:
    """The board [rows, columns] of 1 and −1, in games whose state has one."""
    if not isinstance(node.state, Board):
        return None
    board = np.asarray(node.state.board)
    return board if board.ndim == 2 and board.size <= 64 else None


def _draw_stone(axes: Axes, x: float, y: float, cell: float, stone: int, letter: bool, new: bool) -> None:
    """X and O on a board of nine cells, discs elsewhere; the new one has a dark ground or rim."""
    r, colour = 0.3 * cell, STONE[stone]
    if letter:
        if new:
            axes.add_patch(Rectangle((x - cell / 2, y - cell / 2), cell, cell, color="#22303c22", lw=0, zorder=3))
        if stone == 1:
            for sign in (1, -1):
                axes.plot([x - r, x + r], [y - sign * r, y + sign * r], color=colour, lw=2.0, zorder=4)
        else:
            axes.add_patch(Circle((x, y), r, fill=False, edgecolor=colour, lw=2.0, zorder=4))
        return
    axes.add_patch(
        Circle((x, y), 0.4 * cell, facecolor=colour, edgecolor=INK if new else "none", lw=1.0, zorder=5 if new else 4)
    )


def _bezier(points: np.ndarray) -> np.ndarray:
    """A cubic curve through the first and last of four points, ``[20, 2]``."""
    t = np.linspace(0, 1, 20)[:, None]
    a, b, c, d = points
    return (1 - t) ** 3 * a + 3 * (1 - t) ** 2 * t * b + 3 * (1 - t) * t**2 * c + t**3 * d


def summary_lines(figures: dict[str, Any]) -> list[str]:
    """The figures for a person."""
    out = [f"{figures['player']} would play {figures['move']}; value {figures['value']:+.2f} for the player to move"]
    for name, child in list(figures["children"].items())[:9]:
        out.append(f"  {name:>6}  N {child['visits']:<5} Q {child['value']:+.2f}  P {child['prior']:.2f}")
    return [*out, f"picture: {figures['picture']}"]
