"""The curves of losses as an SVG picture, in plain text."""

from collections.abc import Sequence
from typing import Final

from kiln_mcp.tuning.local.work_folder import LossPoint

_WIDTH: Final = 640
_HEIGHT: Final = 320
_MARGIN: Final = 48
_EDGE: Final = 24
_COLOURS: Final = ("#1f6feb", "#d1242f")
"""Blue for what is learnt, red for what it is validated on; people who see no red can tell them."""


def draw_losses(points: Sequence[LossPoint], steps: int) -> str:
    """Return a picture of the losses by step.

    Args:
        points: The losses so far.
        steps: All steps: the width of the picture.
    """
    learnt = [(float(point.step), point.loss) for point in points]
    validation = [(float(p.step), p.validation) for p in points if p.validation is not None]
    highest = max([value for _, value in [*learnt, *validation]], default=1.0) or 1.0
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        'font-family="sans-serif" font-size="12">',
        "<title>Loss in nats a token, by step</title>",
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#fff"/>',
        *_axes(highest, steps),
    ]
    curves = (("learnt", learnt), ("validation", validation))
    for row, ((name, curve), colour) in enumerate(zip(curves, _COLOURS, strict=True)):
        if curve:
            lines += _curve(name, colour, [_place(x, y, highest, steps) for x, y in curve], row)
    return "\n".join([*lines, "</svg>", ""])


def _place(step: float, loss: float, highest: float, steps: int) -> str:
    x = _MARGIN + (_WIDTH - _MARGIN - _EDGE) * step / max(steps, 1)
    y = _HEIGHT - _EDGE - (_HEIGHT - 2 * _EDGE) * loss / highest
    return f"{x:.1f},{y:.1f}"


def _axes(highest: float, steps: int) -> list[str]:
    bottom = _HEIGHT - _EDGE
    return [
        f'<path d="M{_MARGIN} {_EDGE}V{bottom}H{_WIDTH - _EDGE}" fill="none" stroke="#57606a"/>',
        f'<text x="{_MARGIN - 6}" y="{_EDGE + 4}" text-anchor="end">{highest:.2f}</text>',
        f'<text x="{_MARGIN - 6}" y="{bottom}" text-anchor="end">0</text>',
        f'<text x="{_WIDTH - _EDGE}" y="{_HEIGHT - 6}" text-anchor="end">step {steps}</text>',
    ]


def _curve(name: str, colour: str, places: Sequence[str], row: int) -> list[str]:
    return [
        f'<polyline points="{" ".join(places)}" fill="none" stroke="{colour}" stroke-width="2"/>',
        f'<text x="{_WIDTH - _EDGE}" y="{_EDGE + 16 * row}" text-anchor="end" fill="{colour}">'
        f"{name}</text>",
    ]
