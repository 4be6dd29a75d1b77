"""Draws the pictures of docs/operators/images, in two dimensions, from the operators' plain definitions.

    python3 docs/operators/pictures.py
"""

from pathlib import Path

import numpy as np

INK, GREY, LINE = "#1f2937", "#6b7280", "#d1d5db"
BLUE, PALE_BLUE = "#6472c4", "#dfe4fb"
GREEN = "#3f9277"
ORANGE, PALE_ORANGE = "#c2410c", "#fff7ed"


class Picture:
    """An SVG drawing; y grows downwards."""

    def __init__(self, width, height):
        self.parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
            'font-family="Helvetica, Arial, sans-serif" font-size="15">',
            f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        ]

    def add(self, element, **attributes):
        words = " ".join(f'{name.replace("_", "-")}="{shown(value)}"' for name, value in attributes.items())
        self.parts.append(f"<{element} {words}/>")

    def line(self, x1, y1, x2, y2, stroke=LINE, width=1.0, **more):
        self.add("line", x1=x1, y1=y1, x2=x2, y2=y2, stroke=stroke, stroke_width=width, **more)

    def dot(self, x, y, r=4.0, fill=BLUE, **more):
        self.add("circle", cx=x, cy=y, r=r, fill=fill, **more)

    def box(self, x, y, width, height, fill="none", stroke=LINE, **more):
        self.add("rect", x=x, y=y, width=width, height=height, fill=fill, stroke=stroke, **more)

    def cross(self, x, y, r=6.0, stroke=ORANGE):
        self.line(x - r, y, x + r, y, stroke, 2.2)
        self.line(x, y - r, x, y + r, stroke, 2.2)

    def text(self, x, y, words, size=15, fill=INK, anchor="middle", weight="normal"):
        self.parts.append(
            f'<text x="{shown(x)}" y="{shown(y)}" font-size="{size}" fill="{fill}" text-anchor="{anchor}" '
            f'font-weight="{weight}">{words}</text>'
        )

    def save(self, name):
        path = Path(__file__).parent / "images" / name
        path.write_text("\n".join([*self.parts, "</svg>", ""]), encoding="utf-8")


def shown(value):
    return f"{value:.1f}".rstrip("0").rstrip(".") if isinstance(value, (float, np.floating)) else str(value)


def squares(points, center):
    return ((points - center) ** 2).sum(axis=1)


def covering(points, samples):
    """The largest squared distance of a point to its nearest sample."""
    return max(squares(points[samples], point).min() for point in points)


def voxelize():
    """The same points in the cells of two roundings; a voxel carries the number of its points."""
    picture = Picture(960, 400)
    points = np.random.default_rng(200).uniform([-0.45, -0.45], [3.4, 2.4], (13, 2))
    points = np.concatenate([points, [[1.5, 1.0]]])  # on a border of half_even
    size, top = 70.0, 70.0
    for left, name, cells_of, first in [(70.0, "half_even", np.round, -0.5), (540.0, "floor", np.floor, 0.0)]:
        picture.text(left + 2.5 * size, 40, f'rounding="{name}"', weight="bold")
        cells, counts = np.unique(cells_of(points).astype(int), axis=0, return_counts=True)
        for x, y in cells:
            picture.box(left + (x + 1 + first) * size, top + (y + 1 + first) * size, size, size, PALE_BLUE, "none")
        for step in range(6):
            x, y = left + (step - first) * size, top + (step - first) * size
            if x <= left + 5 * size:
                picture.line(x, top, x, top + 4 * size)
            if y <= top + 4 * size:
                picture.line(left, y, left + 5 * size, y)
        for x in range(-1, 5):
            for y in range(-1, 4):
                picture.cross(left + (x + 1) * size, top + (y + 1) * size, 3.5, GREEN)
        for i, (x, y) in enumerate(points):
            picture.dot(left + (x + 1) * size, top + (y + 1) * size, 4.5, ORANGE if i == len(points) - 1 else INK)
        for (x, y), count in zip(cells, counts):
            right, bottom = left + (x + 2 + first) * size, top + (y + 2 + first) * size
            picture.text(right - 6, bottom - 7, count, 13, BLUE, "end", "bold")
    picture.cross(46, 380, 3.5, GREEN)
    picture.text(58, 385, "multiples of the voxel size", 13, GREY, "start")
    picture.dot(278, 380, 4.5, ORANGE)
    picture.text(290, 385, "half-way: to the even one, or down", 13, GREY, "start")
    picture.text(560, 385, "numbers: points of the voxel, which become one row", 13, GREY, "start")
    picture.save("voxelize.svg")


def trilinear():
    """Weights of the corners around one point where one corner is missing, in both modes."""
    picture = Picture(960, 400)
    fx, fy = 0.3, 0.6
    corners = {(0, 0): "00", (0, 1): "01", (1, 0): "10", (1, 1): "11"}
    missing = (1, 1)
    weights = {c: (fx if c[0] else 1 - fx) * (fy if c[1] else 1 - fy) for c in corners}
    total = sum(w for c, w in weights.items() if c != missing)
    side, top = 210.0, 95.0
    for left, mode, scale in [(130.0, "raw", 1.0), (610.0, "renormalized", 1 / total)]:
        picture.text(left + side / 2, 40, f'mode="{mode}"', weight="bold")
        picture.box(left, top, side, side, "#ffffff", GREY)
        x, y = left + fx * side, top + (1 - fy) * side
        picture.line(x, top, x, top + side, LINE, stroke_dasharray="4 4")
        picture.line(left, y, left + side, y, LINE, stroke_dasharray="4 4")
        for corner, name in corners.items():
            cx, cy = left + corner[0] * side, top + (1 - corner[1]) * side
            absent = corner == missing
            weight = 0.0 if absent else weights[corner] * scale
            if absent:
                picture.dot(cx, cy, 9.0, "#ffffff", stroke=GREY, stroke_width=1.5, stroke_dasharray="3 3")
            else:
                picture.line(x, y, cx, cy, GREEN, 1 + 8 * weight, stroke_opacity=0.45)
                picture.dot(cx, cy, 9.0, BLUE)
            outwards = 18.0 if corner[0] else -18.0
            anchor = "start" if corner[0] else "end"
            picture.text(cx + outwards, cy - 1, f"corner {name}", 13, GREY, anchor)
            picture.text(cx + outwards, cy + 17, "absent: 0" if absent else f"{weight:.3f}", 15, INK, anchor)
        picture.cross(x, y)
        rest = f"weights sum to {total:.2f}" if scale == 1 else f"divided by {total:.2f} + 1e-8: they sum to 1"
        picture.text(left + side / 2, top + side + 42, rest, 13, GREY)
    picture.cross(268, 384, 5)
    words = f"the point, {fx} and {fy} of a cell from corner 00; the second digit is the faster axis"
    picture.text(282, 389, words, 13, GREY, "start")
    picture.save("trilinear.svg")


def neighbors():
    """Which of the same points four searches return for one query."""
    picture = Picture(960, 390)
    angle = np.radians([200, 75, 300, 160, 20, 250, 110, 335, 50, 225, 140, 280])
    distance = np.array([0.85, 0.93, 0.32, 0.62, 0.45, 1.22, 0.24, 0.78, 1.3, 0.5, 1.16, 1.4])
    points = np.stack([distance * np.cos(angle), -distance * np.sin(angle)], axis=1)
    order = np.lexsort([np.arange(len(points)), distance])
    inside = order[distance[order] <= 1]
    wanted = 10
    panels = [
        ("knn_search", f"the {wanted} nearest, however far", order[:wanted], False),
        ("hybrid_search", "the 4 nearest in the radius", inside[:4], True),
        ("ball_query", "the first 4 inside, by index", np.sort(inside)[:4], True),
        ("fixed_radius_search", "all in the radius", inside, True),
    ]
    for panel, (name, words, chosen, circle) in enumerate(panels):
        x, y, scale = 122.0 + 239 * panel, 195.0, 76.0
        picture.text(x, 36, name, weight="bold")
        picture.text(x, 58, words, 13, GREY)
        if circle:
            picture.dot(x, y, scale, PALE_ORANGE, stroke=ORANGE, stroke_dasharray="5 4")
        for i in chosen:
            picture.line(x, y, x + scale * points[i, 0], y + scale * points[i, 1], BLUE, 1.2)
        for i, point in enumerate(points):
            px, py = x + scale * point[0], y + scale * point[1]
            if i in chosen:
                picture.dot(px, py, 10.0, BLUE)
            else:
                picture.dot(px, py, 10.0, "#ffffff", stroke=GREY)
            picture.text(px, py + 4, i, 11, "#ffffff" if i in chosen else GREY)
        picture.cross(x, y, 5)
        row = " ".join(str(i) for i in chosen)
        picture.text(x, 336, row, 14, INK)
    picture.cross(38, 370, 5)
    words = "the query; numbers are the indices of the points, below in the order of the result"
    picture.text(50, 375, words, 13, GREY, "start")
    picture.save("neighbors.svg")


def furthest_points():
    """24 samples of a cloud that is dense on one side: at random, and furthest point sampling."""
    picture = Picture(960, 400)
    random = np.random.default_rng(7)
    turn = random.uniform(0, 2 * np.pi, 520)
    ring = np.stack([2.3 * np.cos(turn), np.sin(turn)], axis=1) * random.normal(1, 0.06, (520, 1))
    points = ring[(ring[:, 0] < 0.4) | (random.uniform(size=520) < 0.18)]
    count = 24
    chosen = [0]
    left = squares(points, points[0])
    while len(chosen) < count:
        chosen.append(int(np.argmax(left)))  # the lowest index of the furthest
        left = np.minimum(left, squares(points, points[chosen[-1]]))
    panels = [("random", random.permutation(len(points))[:count]), ("furthest_point_sample", chosen)]
    for panel, (name, samples) in enumerate(panels):
        x, y, scale = 240.0 + 470 * panel, 190.0, 86.0
        picture.text(x, 40, name, weight="bold")
        gap = np.sqrt(covering(points, samples))
        for px, py in points:
            picture.dot(x + scale * px, y + scale * py, 2.0, "#b6bccb")
        for i in samples:
            picture.dot(x + scale * points[i, 0], y + scale * points[i, 1], 5.5, BLUE)
        if name != "random":
            for place, i in enumerate(samples[:5]):
                inwards = points[i] * (1 - 16 / (scale * np.hypot(*points[i])))
                picture.text(x + scale * inwards[0], y + scale * inwards[1] + 5, place, 13, ORANGE, weight="bold")
        picture.text(x, 345, f"a point is at most {gap:.2f} from a sample", 13, GREY)
    words = f"{count} of {len(points)} points, most of which lie on the left; orange: the first five samples in order"
    picture.text(480, 384, words, 13, GREY)
    picture.save("furthest_points.svg")


def dense_grid():
    """The cells of a cube around a cloud, in the coordinates 0 .. R of dense_grid_coords."""
    picture = Picture(960, 470)
    random = np.random.default_rng(3)
    turn = random.uniform(0, 2 * np.pi, 90)
    points = np.stack([np.cos(turn) * 1.0, 0.55 * np.sin(turn)], axis=1) + random.normal(0, 0.04, (90, 2))
    points = np.concatenate([points, [[1.5, -0.75]]])
    resolution, side, left, top = 8, 350.0, 60.0, 70.0
    p = points - points.mean(axis=0)
    furthest = np.sqrt((p**2).sum(axis=1).max())
    unit = p / (2 * furthest) + 0.5
    coords = np.clip(unit * resolution, 0, resolution - 1)
    cells = np.unique(np.round(coords).astype(int), axis=0)
    scale = side / resolution
    borders = np.array([0, *(np.arange(resolution - 1) + 0.5), resolution])  # of cells in [0, R]
    for i, j in cells:
        x0, x1, y0, y1 = borders[i], borders[i + 1], borders[j], borders[j + 1]
        picture.box(left + scale * x0, top + scale * y0, scale * (x1 - x0), scale * (y1 - y0), PALE_BLUE, "none")
    for border in borders:
        picture.line(left + scale * border, top, left + scale * border, top + side)
        picture.line(left, top + scale * border, left + side, top + scale * border)
    picture.box(left, top, side, side, stroke=BLUE)
    picture.dot(left + side / 2, top + side / 2, side / 2, "none", stroke=ORANGE, stroke_dasharray="5 4")
    for x, y in unit:
        picture.dot(left + side * x, top + side * y, 3.0, INK)
    picture.cross(left + side / 2, top + side / 2, 6)
    picture.text(left + side / 2, 40, f"the cells of a cloud, R = {resolution}", weight="bold")
    for i in range(resolution):
        middle = (borders[i] + borders[i + 1]) / 2
        picture.text(left + scale * middle, top + side + 18, i, 12, GREY)
        picture.text(left - 10, top + scale * middle + 4, i, 12, GREY, "end")
    notes = [
        (INK, "cross: the mean of the cloud"),
        (INK, "circle: through its furthest point; the cells fit around it"),
        (INK, "numbers: cells, the rounded coordinates"),
        (INK, "shaded: cells with points, whose features they average"),
        (INK, "white: cells without points, which are 0"),
        (GREY, "Coordinates in [0, R] end at R - 1 and are rounded:"),
        (GREY, "the first cell is half as wide as the others, the last"),
        (GREY, "half as wide again, as PVCNN has them."),
    ]
    for row, (fill, words) in enumerate(notes):
        picture.text(470, 150 + 27 * row, words, 15, fill, "start")
    picture.save("dense_grid.svg")


if __name__ == "__main__":
    for draw in (voxelize, trilinear, neighbors, furthest_points, dense_grid):
        draw()
