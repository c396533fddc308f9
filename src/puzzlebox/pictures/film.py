"""Episodes as moving pictures: frames with a caption, written as a GIF or played in a terminal."""

from __future__ import annotations

import math
import time
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

MAX_FRAMES = 250  # a longer episode is shown with frames left out
FASTEST = 25  # frames per second; viewers slow GIFs down that ask for much more
HOLD = 2.0  # seconds that an episode's last frame stays
SMALLEST, LARGEST = 240, 360  # pixels of a frame's width
STRIP = 44  # pixels of the caption below it
COLOURS = 255

Cells = list[list[tuple[str, str]]]  # a grid as text: (characters, style) per cell


class Frame(NamedTuple):
    """One moment: the picture, its caption, the same as text if it is a grid, and whether it ends an episode."""

    picture: Image.Image
    caption: str
    cells: Cells | None
    last: bool


class Film:
    """Collects frames, thinning them out as it grows, so that any length stays a small file.

    ``frames_per_second`` is the speed of the world itself, ``title`` the second line of every caption.
    """

    def __init__(self, frames_per_second: float, title: str):
        self.title = title
        self.stride = max(1, math.ceil(frames_per_second / FASTEST))
        self.frames_per_second = frames_per_second
        self.frames: list[Frame] = []
        self.moments: list[int] = []
        self.time = 0

    def wants(self, last: bool) -> bool:
        """Whether the present moment is one to keep; draw a picture only then."""
        return last or self.time % self.stride == 0

    def add(self, picture: np.ndarray, caption: str, cells: Cells | None = None, last: bool = False) -> None:
        """Keeps the present moment; ``last`` frames of episodes are always kept, and held."""
        self.frames.append(Frame(fit(picture), caption, cells, last))
        self.moments.append(self.time)
        # too many: from now on keep half as many moments, also of those so far, so that the pace stays even
        if len(self.frames) > MAX_FRAMES:
            self.stride *= 2
            kept = [i for i, f in enumerate(self.frames) if f.last or self.moments[i] % self.stride == 0]
            self.frames = [self.frames[i] for i in kept]
            self.moments = [self.moments[i] for i in kept]

    def tick(self) -> None:
        """One step of the world has passed."""
        self.time += 1

    @property
    def seconds(self) -> list[float]:
        """How long each frame is shown."""
        step = 1 / self.frames_per_second
        gaps = [*np.diff(self.moments), 1]
        return [HOLD if f.last else max(1, gap) * step for f, gap in zip(self.frames, gaps, strict=True)]

    def save(self, path: Path) -> Path:
        """Writes the GIF, which repeats for ever."""
        drawn = [self._with_caption(frame) for frame in self.frames]
        palette = _palette(drawn)
        images = [image.quantize(palette=palette, dither=Image.Dither.NONE) for image in drawn]
        # GIFs count in hundredths of a second, and viewers slow down what is shown for less than two
        durations = [max(20, 10 * round(100 * s)) for s in self.seconds]
        path.parent.mkdir(parents=True, exist_ok=True)
        images[0].save(path, format="GIF", save_all=True, append_images=images[1:], duration=durations, loop=0)
        return path

    def still(self, path: Path) -> Path:
        """Writes four moments, two by two, as a PNG, for paper."""
        chosen = np.linspace(0, len(self.frames) - 1, 4).round().astype(int)
        images = [self._with_caption(self.frames[i]) for i in chosen]
        width, height, gap = images[0].width, images[0].height, 8
        sheet = Image.new("RGB", (2 * width + gap, 2 * height + gap), "white")
        for place, image in enumerate(images):
            sheet.paste(image, (place % 2 * (width + gap), place // 2 * (height + gap)))
        sheet.save(path)
        return path

    def play(self, console: Console) -> None:
        """Shows the film in a terminal at its own speed; Ctrl-C ends it."""
        from rich.live import Live

        with Live(console=console, auto_refresh=False) as live:
            due = time.perf_counter()
            for frame, seconds in zip(self.frames, self.seconds, strict=True):
                due += seconds
                if time.perf_counter() > due and not frame.last:
                    continue  # a slow terminal misses frames, not time
                live.update(as_text(frame, self.title, console), refresh=True)
                time.sleep(max(0.0, due - time.perf_counter()))

    def _with_caption(self, frame: Frame) -> Image.Image:
        image = Image.new("RGB", (frame.picture.width, frame.picture.height + STRIP), "white")
        image.paste(frame.picture, (0, 0))
        draw = ImageDraw.Draw(image)
        draw.line((0, frame.picture.height, image.width, frame.picture.height), fill=(214, 218, 224))
        draw.text((8, frame.picture.height + 5), frame.caption, fill=(25, 28, 33), font=_font("DejaVuSans-Bold", 12))
        draw.text((8, frame.picture.height + 24), self.title, fill=(105, 112, 122), font=_font("DejaVuSans", 10))
        return image


def fit(picture: np.ndarray) -> Image.Image:
    """The picture at a sane width: large ones scaled down, small ones (games) doubled."""
    image = Image.fromarray(np.ascontiguousarray(picture)).convert("RGB")
    if image.width < SMALLEST:
        factor = math.ceil(SMALLEST / image.width)
        return image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)
    if image.width > LARGEST and image.width > image.height * 0.7:
        height = round(image.height * LARGEST / image.width)
        return image.resize((LARGEST, height), Image.Resampling.LANCZOS)
    return image


def as_text(frame: Frame, title: str, console: Console) -> Text:
    """The frame for a terminal: a grid as characters, anything else as half blocks in true colour."""
    from rich.text import Text

    text = Text(no_wrap=True)
    if frame.cells is not None:
        for line in frame.cells:
            for characters, style in line:
                text.append(characters, style)
            text.append("\n")
    else:
        text.append_text(half_blocks(frame.picture, console.width - 2, console.height - 4))
    text.append(frame.caption, "bold")
    text.append(f"\n{title}", "dim")
    return text


def half_blocks(image: Image.Image, columns: int, lines: int) -> Text:
    """The picture in at most ``columns`` × ``lines`` characters, each showing two pixels, one above the other."""
    from rich.text import Text

    scale = min(columns / image.width, 2 * lines / image.height, 0.25 if image.width > SMALLEST else 1.0)
    width, height = max(1, round(image.width * scale)), max(2, 2 * round(image.height * scale / 2))
    pixels = np.asarray(image.resize((width, height), Image.Resampling.BOX))
    text = Text()
    for y in range(0, height, 2):
        pairs = np.concatenate([pixels[y], pixels[y + 1]], axis=-1)
        styles = ["rgb({},{},{}) on rgb({},{},{})".format(*pair) for pair in pairs]
        start = 0
        for x in range(1, width + 1):
            if x == width or styles[x] != styles[start]:
                text.append("▀" * (x - start), styles[start])
                start = x
        text.append("\n")
    return text


def _palette(images: list[Image.Image]) -> Image.Image:
    """One palette for the whole film, from some of its frames, so that colours do not flicker.

    Every shade counts about once, however large its area: a small figure on a wide floor keeps its colours.
    """
    chosen = [images[i] for i in np.unique(np.linspace(0, len(images) - 1, 8).round().astype(int))]
    pixels = np.concatenate([np.asarray(image).reshape(-1, 3) for image in chosen])
    shades, counts = np.unique(pixels, axis=0, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    common, rest = shades[order[: COLOURS // 2]], shades[order[COLOURS // 2 :]]
    palette = Image.new("P", (1, 1))
    if len(rest):
        _, first = np.unique(rest >> 3, axis=0, return_index=True)
        drawn = Image.fromarray(rest[first][None]).quantize(COLOURS - len(common), method=Image.Quantize.MEDIANCUT)
        rest = np.array(drawn.getpalette(), np.uint8).reshape(-1, 3)
    palette.putpalette(np.concatenate([common, rest]).ravel().tolist())
    return palette


@lru_cache
def _font(name: str, size: int) -> ImageFont.FreeTypeFont:
    """A font that comes with matplotlib, so that captions look the same everywhere."""
    import matplotlib

    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"{name}.ttf"), size)
