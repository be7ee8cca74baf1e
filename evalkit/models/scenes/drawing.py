"""Draws a scene as a 96x96 picture, at three times the size and then reduced."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from evalkit.models.scenes.scene import COLOURS, RADII, SIDE, Scene, Thing

OVERSAMPLING = 3
OUTLINE = (35, 30, 40)
ROOF = (95, 50, 40)
DOOR = (70, 45, 35)
WINDOW = (255, 240, 170)
TRUNK = (110, 75, 45)
GRADIENTS = {
    "grey": ((190, 190, 194), (148, 148, 154)),
    "grass": ((128, 172, 92), (88, 134, 62)),
    "sky": ((120, 176, 230), (190, 220, 246)),
    "night": ((12, 14, 44), (40, 42, 88)),
    "sunset": ((112, 84, 132), (244, 176, 132)),
    "sea": ((66, 146, 170), (28, 90, 122)),
}
DAYLIGHT = (206, 228, 244)
HILL = (84, 58, 84)
TUFT = (66, 108, 46)
CREST = (140, 204, 214)
STARLIGHT = (246, 240, 190)
HORIZON = 26


def draw_picture(scene: Scene) -> Image.Image:
    """The scene as an RGB picture of 96x96; the same scene gives the same pixels."""
    rng = np.random.default_rng(scene.seed)
    picture = Image.fromarray(_background(scene.background, rng))
    for thing in scene.things:
        tile = _thing_tile(thing)
        half = tile.width / 2
        picture.paste(tile, (round(thing.x - half), round(thing.y - half)), tile)
    return picture


def _background(name: str, rng: np.random.Generator) -> np.ndarray:
    """Background pixels, shape (96, 96, 3), uint8."""
    top, bottom = (np.array(colour, dtype=float) for colour in GRADIENTS[name])
    depth = np.linspace(0, 1, SIDE)[:, None, None]
    pixels = np.broadcast_to(top * (1 - depth) + bottom * depth, (SIDE, SIDE, 3)).copy()
    pixels *= rng.uniform(0.95, 1.05)
    if name == "sky":
        _add_clouds(pixels, rng)
    detail = {"grass": _add_meadow, "night": _add_moon, "sunset": _add_hill, "sea": _add_waves}
    image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
    if name in detail:
        large = image.resize((SIDE * OVERSAMPLING, SIDE * OVERSAMPLING))
        detail[name](_Pen(ImageDraw.Draw(large), centre=0, scale=OVERSAMPLING), rng)
        image = large.reduce(OVERSAMPLING)
    return np.asarray(image)


def _add_clouds(pixels: np.ndarray, rng: np.random.Generator) -> None:
    rows, columns = np.mgrid[0:SIDE, 0:SIDE]
    for _ in range(3):
        x, y = rng.uniform(0, SIDE), rng.uniform(6, 90)
        cover = np.zeros((SIDE, SIDE))
        for shift, radius in ((-9, 6), (0, 9), (10, 6)):
            distance = np.hypot(columns - x - shift, (rows - y) * 1.6) / radius
            cover = np.maximum(cover, np.clip((1.1 - distance) * 4, 0, 1))
        pixels += cover[..., None] * 0.85 * (np.array([252, 252, 255]) - pixels)


def _add_meadow(pen: _Pen, rng: np.random.Generator) -> None:
    pen.fill([(0, 0), (SIDE, 0), (SIDE, HORIZON), (0, HORIZON)], DAYLIGHT)
    pen.disc(rng.uniform(20, 76), HORIZON + 176, 180, GRADIENTS["grass"][0], outline=False)
    for row in range(4):
        for x in np.arange(4, SIDE, 24) + rng.uniform(-6, 6, size=4) + 12 * (row % 2):
            y = 38 + 16 * row
            pen.fill([(x - 5, y - 4), (x - 1, y + 3), (x + 1, y + 3), (x + 5, y - 4), (x, y)], TUFT)


def _add_moon(pen: _Pen, rng: np.random.Generator) -> None:
    x, y = (12, 13) if rng.random() < 0.5 else (84, 13)
    turn = np.linspace(-0.5, 0.5, 20) * np.pi
    outer = [(x - 8 * np.cos(a), y + 8 * np.sin(a)) for a in turn]
    inner = [(x - 3 * np.cos(a), y + 8 * np.sin(a)) for a in turn[::-1]]
    pen.fill([*outer, *inner], STARLIGHT)
    for column in range(4):
        for row in range(4):
            if rng.random() < 0.7:
                across, down = rng.uniform(-8, 8, size=2)
                x, y = 12 + 24 * column + across, 12 + 24 * row + down
                pen.disc(x, y, 1.7, STARLIGHT, outline=False)


def _add_hill(pen: _Pen, rng: np.random.Generator) -> None:
    pen.disc(rng.uniform(20, 76), SIDE + 165 - rng.uniform(12, 18), 165, HILL, outline=False)


def _add_waves(pen: _Pen, rng: np.random.Generator) -> None:
    pen.fill([(0, 0), (SIDE, 0), (SIDE, HORIZON), (0, HORIZON)], DAYLIGHT)
    phase = rng.uniform(0, 2 * np.pi)
    columns = np.arange(-2, SIDE + 3)
    for row in (38, 54, 70, 86):
        heights = row + 3 * np.abs(np.sin(columns * np.pi / 24 + phase + row))
        line = list(zip(columns.tolist(), heights.tolist(), strict=True))
        pen.fill([*line, *((x, y + 3) for x, y in line[::-1])], CREST)


def _thing_tile(thing: Thing) -> Image.Image:
    """The thing on a transparent square a little larger than itself, RGBA."""
    radius = RADII[thing.size]
    side = 2 * (radius + 3)
    large = Image.new("RGBA", (side * OVERSAMPLING, side * OVERSAMPLING), (*OUTLINE, 0))
    pen = _Pen(ImageDraw.Draw(large), centre=side * OVERSAMPLING / 2, scale=radius * OVERSAMPLING)
    _SHAPE_DRAWERS[thing.shape](pen, COLOURS[thing.colour])
    return _lit(large.reduce(OVERSAMPLING))


def _lit(tile: Image.Image) -> Image.Image:
    """The tile with light from the upper left."""
    pixels = np.asarray(tile).astype(float)
    slope = np.linspace(-1, 1, tile.width)
    light = 1.03 - 0.13 * (slope[:, None] + slope[None, :]) / 2
    pixels[..., :3] *= light[..., None]
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8), "RGBA")


class _Pen:
    """Draws outlined figures in units of the thing's radius, centre (0, 0), y down."""

    width = 4

    def __init__(self, canvas: ImageDraw.ImageDraw, centre: float, scale: float) -> None:
        self.canvas, self.centre, self.scale = canvas, centre, scale

    def _place(self, points: list[tuple[float, float]]) -> list[tuple[float, float]]:
        return [(self.centre + x * self.scale, self.centre + y * self.scale) for x, y in points]

    def polygon(self, points: list[tuple[float, float]], fill: tuple[int, int, int]) -> None:
        placed = self._place(points)
        self.canvas.polygon(placed, fill=fill)
        self.canvas.line([*placed, placed[0], placed[1]], fill=OUTLINE, width=self.width)

    def fill(self, points: list[tuple[float, float]], fill: tuple[int, int, int]) -> None:
        self.canvas.polygon(self._place(points), fill=fill)

    def box(
        self, left: float, top: float, right: float, bottom: float, fill: tuple[int, int, int]
    ) -> None:
        corners = self._place([(left, top), (right, bottom)])
        self.canvas.rectangle(corners, fill=fill, outline=OUTLINE, width=self.width)

    def disc(
        self, x: float, y: float, radius: float, fill: tuple[int, int, int], *, outline: bool = True
    ) -> None:
        corners = self._place([(x - radius, y - radius), (x + radius, y + radius)])
        width = self.width if outline else 0
        self.canvas.ellipse(corners, fill=fill, outline=OUTLINE, width=width)


def _circle(pen: _Pen, colour: tuple[int, int, int]) -> None:
    pen.disc(0, 0, 0.95, colour)


def _square(pen: _Pen, colour: tuple[int, int, int]) -> None:
    pen.box(-0.88, -0.88, 0.88, 0.88, colour)


def _star(pen: _Pen, colour: tuple[int, int, int]) -> None:
    angles = np.arange(10) * np.pi / 5 - np.pi / 2
    reach = np.where(np.arange(10) % 2 == 0, 1.12, 0.5)
    points = zip(reach * np.cos(angles), reach * np.sin(angles) + 0.06, strict=True)
    pen.polygon([(float(x), float(y)) for x, y in points], colour)


def _heart(pen: _Pen, colour: tuple[int, int, int]) -> None:
    turn = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    x = np.sin(turn) ** 3
    y = -(13 * np.cos(turn) - 5 * np.cos(2 * turn) - 2 * np.cos(3 * turn) - np.cos(4 * turn)) / 15.5
    pen.polygon([(float(a), float(b) - 0.08) for a, b in zip(x, y, strict=True)], colour)


def _house(pen: _Pen, colour: tuple[int, int, int]) -> None:
    pen.box(-0.75, -0.2, 0.75, 0.95, colour)
    pen.polygon([(-1.0, -0.15), (0.0, -1.05), (1.0, -0.15)], ROOF)
    pen.box(-0.5, 0.3, -0.05, 0.95, DOOR)
    pen.box(0.15, 0.15, 0.55, 0.55, WINDOW)


def _tree(pen: _Pen, colour: tuple[int, int, int]) -> None:
    pen.box(-0.2, 0.2, 0.2, 1.05, TRUNK)
    discs = ((-0.45, 0.0, 0.5), (0.45, 0.0, 0.5), (0.0, -0.45, 0.58))
    for x, y, radius in discs:
        pen.disc(x, y, radius, colour)
    for x, y, radius in discs:
        pen.disc(x, y, radius - pen.width / pen.scale, colour, outline=False)


_SHAPE_DRAWERS = {
    "circle": _circle,
    "square": _square,
    "star": _star,
    "heart": _heart,
    "house": _house,
    "tree": _tree,
}
