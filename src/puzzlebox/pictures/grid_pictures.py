"""Pictures of what an agent knows about a grid: policy arrows, value heat map, action values, learned model.

Everything is drawn with matplotlib's own objects on the Agg canvas, no global state, so it works in threads and on
machines without a screen. ``Layout`` says which state lies where and where each action points; grids of our own,
FrozenLake and CliffWalking have one. Large grids are drawn as images, without a letter in every cell.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, ListedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Polygon, Rectangle

from puzzlebox.types import Layout

INK, WALL, GOAL, HOLE, START, FLOOR = "#22303c", "#3d4a57", "#2a9d62", "#c8443c", "#2f6fb0", "#f7f5f0"
OFFSETS = {"N": (0, -1), "E": (1, 0), "S": (0, 1), "W": (-1, 0)}
COMPASS = {"N": "#4477aa", "E": "#ccbb44", "S": "#ee6677", "W": "#228833"}
VALUES = colormaps["viridis"]
DETAILED = 600  # cells up to which each one gets its arrow and number
WIDE = 1.25  # inches: the side of a cell that shows one thing per action


def save(figure: Figure, path: Path) -> Path:
    """Writes the figure as PNG, in a folder that is made where it is missing; returns the path."""
    FigureCanvasAgg(figure)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150, facecolor="white")
    return path


def policy_picture(layout: Layout, q_values: np.ndarray, title: str = "Policy") -> Figure:
    """An arrow for every best action of every cell; equally good actions all get one. ``q_values`` [S, U]."""
    figure, (axes,) = _figure(layout, 1)
    draw_policy(axes, layout, q_values)
    axes.set_title(title, color=INK, fontsize=12)
    return figure


def value_picture(layout: Layout, values: np.ndarray, title: str = "Value") -> Figure:
    """How good each cell is, as colour and number. ``values`` [S]."""
    figure, (axes,) = _figure(layout, 1, colour_bar=True)
    shown = draw_values(axes, layout, values)
    axes.set_title(title, color=INK, fontsize=12)
    _colour_bar(figure, axes, shown)
    return figure


def q_picture(layout: Layout, q_values: np.ndarray, title: str = "Action values") -> Figure:
    """Four triangles per cell, one per action, coloured by its value; the best is in bold. ``q_values`` [S, U]."""
    figure, (axes,) = _figure(layout, 1, colour_bar=True, cell=WIDE)
    scale = _scale(q_values.max(-1)[_inside(layout)], below=0.5)
    if len(q_values) > DETAILED:
        draw_values(axes, layout, q_values.max(-1))
    else:
        _draw_board(axes, layout)
        for state in np.flatnonzero(_inside(layout)):
            for action, letter in enumerate(layout.actions):
                _draw_triangle(axes, layout, int(state), letter, q_values[state], action, scale)
    axes.set_title(title, color=INK, fontsize=12)
    _colour_bar(figure, axes, scale, extend="min")
    return figure


def model_picture(layout: Layout, visits: np.ndarray, transition: np.ndarray, title: str = "Learned model") -> Figure:
    """What the agent has seen: cells shaded by visits, and where it thinks each action leads.

    ``visits`` [S, U] counts; ``transition`` [S, U, S] estimated probabilities. Every action starts at its own side of
    the cell; an arrow's width is its probability, a dot a move that stays. What was never tried is left blank.
    """
    figure, (axes,) = _figure(layout, 1, colour_bar=True, cell=WIDE)
    per_state = np.asarray(visits, float).sum(-1)
    shaded = np.where(per_state > 0, np.log10(np.maximum(per_state, 1)), np.nan)
    scale = Normalize(0, max(1.0, float(np.nanmax(shaded)) if np.isfinite(shaded).any() else 1.0))
    image = np.where(_inside(layout), shaded, np.nan).reshape(len(layout.rows), -1)
    axes.imshow(image, cmap=ListedColormap(colormaps["Blues"](np.linspace(0.05, 0.6, 256))), norm=scale)
    _draw_board(axes, layout, floor=False)
    width = len(layout.rows[0])
    for state, action in np.argwhere(np.asarray(visits) > 0) if len(per_state) <= DETAILED else ():
        if _inside(layout)[state]:
            _draw_transition(axes, layout.actions[action], int(state), transition[state, action], width)
    axes.set_title(title, color=INK, fontsize=12)
    _direction_legend(axes)
    bar = figure.colorbar(axes.images[0], ax=axes, shrink=0.8, pad=0.03)
    bar.set_label("visits (powers of ten)", color=INK)
    return figure


def compare_picture(parts: list[tuple[str, Layout, np.ndarray]]) -> Figure:
    """Several solutions side by side: values as colour, best actions as arrows. Parts: (title, layout, q [S, U])."""
    figure, all_axes = _figure(parts[0][1], len(parts))
    for axes, (title, layout, q_values) in zip(all_axes, parts, strict=True):
        draw_values(axes, layout, q_values.max(-1), numbers="corner")
        draw_policy(axes, layout, q_values, board=False)
        axes.set_title(title, color=INK, fontsize=12)
    return figure


def histogram_picture(values: np.ndarray, title: str) -> Figure:
    """How the values of a world without a map are spread."""
    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axes = figure.add_subplot()
    axes.hist(values, bins=40, color=START, edgecolor="white", linewidth=0.4)
    axes.set(xlabel="value of a state", ylabel="states", title=title)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def draw_policy(axes: Axes, layout: Layout, q_values: np.ndarray, board: bool = True) -> None:
    """Arrows on ``axes``; on a large grid each cell takes the colour of its direction."""
    inside = _inside(layout)
    spread = max(1.0, float(np.abs(q_values).max()))
    best = q_values >= q_values.max(-1, keepdims=True) - 1e-7 * spread
    if len(q_values) > DETAILED:
        colours = np.array([_rgb(COMPASS[letter]) for letter in layout.actions])[q_values.argmax(-1)]
        colours[~inside] = [_rgb(_colour_of(character)) for character in np.array(list("".join(layout.rows)))[~inside]]
        axes.imshow(colours.reshape(len(layout.rows), -1, 3), interpolation="nearest")
        _direction_legend(axes)
        axes.set_xticks([])
        axes.set_yticks([])
        return
    if board:
        _draw_board(axes, layout)
    width = len(layout.rows[0])
    for state in np.flatnonzero(inside):
        row, column = divmod(int(state), width)
        if best[state].all():
            continue
        for action in np.flatnonzero(best[state]):
            right, down = OFFSETS[layout.actions[action]]
            start = (column - 0.04 * right, row - 0.04 * down)
            tip = (column + 0.36 * right, row + 0.36 * down)
            if best[state].sum() == 1:
                start = (column - 0.3 * right, row - 0.3 * down)
                tip = (column + 0.32 * right, row + 0.32 * down)
            _arrow(axes, start, tip, INK, 1.7)


def draw_values(axes: Axes, layout: Layout, values: np.ndarray, numbers: str = "centre") -> Normalize:
    """Colours, and numbers where there is room, on ``axes``; returns the colour scale."""
    inside = _inside(layout)
    scale = _scale(values[inside])
    image = np.where(inside, values, np.nan).reshape(len(layout.rows), -1)
    axes.imshow(image, cmap=_light(VALUES), norm=scale, interpolation="nearest")
    _draw_board(axes, layout, floor=False, letters=len(values) <= DETAILED)
    if len(values) <= DETAILED:
        width = len(layout.rows[0])
        size = _letter_size(layout) * (1.0 if numbers == "centre" else 0.75)
        for state in np.flatnonzero(inside):
            row, column = divmod(int(state), width)
            x, y = (column, row) if numbers == "centre" else (column + 0.46, row + 0.43)
            align = ("center", "center") if numbers == "centre" else ("right", "bottom")
            axes.text(x, y, _short(values[state]), ha=align[0], va=align[1], fontsize=size, color=INK)
    return scale


def _cell_size(layout: Layout, wanted: float = 0.9) -> float:
    """The side of a cell in inches."""
    return min(wanted, 9.0 / max(len(layout.rows), len(layout.rows[0])))


def _letter_size(layout: Layout, cell: float = 0.9, share: float = 1.0) -> float:
    """In points: a number of five characters, such as −12.5, nearly fills ``share`` of a cell's width."""
    return min(11.0, share * 72 * _cell_size(layout, cell) / 3.8)


def _figure(layout: Layout, count: int, colour_bar: bool = False, cell: float = 0.9) -> tuple[Figure, list[Axes]]:
    """A figure with ``count`` boards side by side, as large as the map needs."""
    height, width = len(layout.rows), len(layout.rows[0])
    size = _cell_size(layout, cell)
    figure = Figure(
        figsize=(count * max(2.6, size * width + 0.5) + 0.9 * colour_bar, max(2.2, size * height + 0.7)),
        layout="constrained",
    )
    return figure, [figure.add_subplot(1, count, index + 1) for index in range(count)]


def _inside(layout: Layout) -> np.ndarray:
    """The cells an agent can act in; bool [S]."""
    return np.isin(list("".join(layout.rows)), [".", "S"])


def _colour_of(character: str) -> str:
    return {"#": WALL, "G": GOAL, "H": HOLE, "S": FLOOR, ".": FLOOR}[character]


def _rgb(colour: str) -> list[float]:
    return [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]


def _light(colours: Colormap) -> Colormap:
    """The upper, lighter part of a colour map, on which dark writing can be read."""
    light = colours(np.linspace(0.0, 1.0, 256))
    light[:, :3] = 0.45 + 0.55 * light[:, :3]
    return ListedColormap(light)


def _draw_board(axes: Axes, layout: Layout, floor: bool = True, letters: bool = True) -> None:
    """Walls, goals and holes, the frame and the axes' limits; ``floor`` and ``letters`` are for small grids."""
    height, width = len(layout.rows), len(layout.rows[0])
    large = height * width > DETAILED
    if large:
        cells = np.array([list(row) for row in layout.rows])
        picture = np.zeros((height, width, 4))
        for character in "#GH":
            picture[cells == character] = [*_rgb(_colour_of(character)), 1.0]
        axes.imshow(picture, interpolation="nearest")
    else:
        _draw_cells(axes, layout, floor, letters)
    axes.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5), aspect="equal", xticks=[], yticks=[])
    for side in axes.spines.values():
        side.set_color(INK)
        side.set_linewidth(1.2)


def _draw_cells(axes: Axes, layout: Layout, floor: bool, letters: bool) -> None:
    for row, line in enumerate(layout.rows):
        for column, character in enumerate(line):
            if floor or character in "#GH":
                axes.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, facecolor=_colour_of(character), zorder=1))
            axes.add_patch(
                Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, edgecolor="white", linewidth=1.0, zorder=2)
            )
            if letters and character in "GH":
                axes.text(
                    column,
                    row,
                    character,
                    ha="center",
                    va="center",
                    color="white",
                    fontsize=13,
                    weight="bold",
                    zorder=3,
                )
            if letters and character == "S":
                axes.text(
                    column - 0.45,
                    row - 0.43,
                    "S",
                    ha="left",
                    va="top",
                    color=START,
                    fontsize=8,
                    weight="bold",
                    zorder=3,
                )


def _draw_triangle(
    axes: Axes, layout: Layout, state: int, letter: str, q_row: np.ndarray, action: int, scale: Normalize
) -> None:
    row, column = divmod(state, len(layout.rows[0]))
    right, down = OFFSETS[letter]
    corners = [(column, row)] + [
        (column + 0.5 * (right or side), row + 0.5 * (down or side)) for side in ((1, -1) if right or down else ())
    ]
    colour = _light(VALUES)(scale(q_row[action]))
    axes.add_patch(Polygon(corners, facecolor=colour, edgecolor="white", linewidth=0.8, zorder=2))
    best = q_row[action] >= q_row.max() - 1e-7 * max(1.0, float(np.abs(q_row).max()))
    axes.text(
        column + 0.31 * right,
        row + 0.33 * down,
        _short(q_row[action]),
        ha="center",
        va="center",
        fontsize=_letter_size(layout, WIDE, share=0.38),
        color=INK,
        weight="bold" if best else "normal",
        zorder=3,
    )


def _draw_transition(axes: Axes, letter: str, state: int, probability: np.ndarray, width: int) -> None:
    row, column = divmod(state, width)
    right, down = OFFSETS[letter]
    x, y = column + 0.2 * right, row + 0.2 * down
    for following in np.flatnonzero(probability > 0.01):
        to_row, to_column = divmod(int(following), width)
        share = float(probability[following])
        if following == state:
            axes.plot(x, y, "o", color=COMPASS[letter], markersize=1.5 + 4 * share, alpha=0.9, zorder=4)
            continue
        toward = np.array([to_column - column, to_row - row], float)
        toward /= np.abs(toward).sum()
        tip = (x + 0.42 * toward[0], y + 0.42 * toward[1])
        _arrow(axes, (x, y), tip, COMPASS[letter], 0.4 + 2.0 * share)


def _arrow(axes: Axes, start: tuple[float, float], tip: tuple[float, float], colour: str, width: float) -> None:
    """An arrow in units of cells; ``width`` in points."""
    axes.annotate(
        "",
        xy=tip,
        xytext=start,
        arrowprops={"arrowstyle": "-|>", "color": colour, "lw": width, "mutation_scale": 6 + 3 * width, "shrinkA": 0},
        zorder=4,
    )


def _direction_legend(axes: Axes) -> None:
    names = {"N": "north", "E": "east", "S": "south", "W": "west"}
    handles = [Patch(color=COMPASS[letter], label=name) for letter, name in names.items()]
    axes.legend(
        handles=handles,
        loc="upper center",
        bbox_to_anchor=(0.5, -0.01),
        ncols=4,
        frameon=False,
        fontsize=8,
        handlelength=1.0,
        columnspacing=1.2,
    )


def _scale(values: np.ndarray, below: float = 0.0) -> Normalize:
    """From the smallest to the largest value, and ``below`` times that range further down; what is lower is cut."""
    if not values.size:
        return Normalize(0.0, 1.0)
    low, high = float(values.min()), float(values.max())
    high = high if high > low else low + 1.0
    return Normalize(low - below * (high - low), high, clip=True)


def _colour_bar(figure: Figure, axes: Axes, scale: Normalize, extend: str = "neither") -> None:
    bar = figure.colorbar(ScalarMappable(scale, _light(VALUES)), ax=axes, shrink=0.8, pad=0.03, extend=extend)
    bar.outline.set_visible(False)


def _short(value: float) -> str:
    """Three significant figures, without a minus before zero."""
    magnitude = float(f"{abs(value):.3g}")  # 9.9996 is written as 10.0
    digits = 0 if magnitude >= 100 else 1 if magnitude >= 10 else 2
    text = f"{value:.{digits}f}"
    return text.lstrip("-") if float(text) == 0 else text.replace("-", "−")
