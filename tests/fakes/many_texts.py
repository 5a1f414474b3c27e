"""Many short texts of one template, by which near-duplicates are tested and timed."""

import random

NAMES = [
    a + b for a in ("ba", "de", "ki", "lo", "mu", "ra") for b in ("na", "ri", "ko", "le", "mi")
]
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def bookings(count: int) -> list[str]:
    """Return texts of one template with a number of their own."""
    draw = random.Random(3).choice
    return [
        f"Please book a table for {draw(range(1, 13))} at {draw(NAMES[:8])} on {draw(DAYS)} number "
        f"{number}"
        for number in range(count)
    ]


def letters(count: int) -> list[str]:
    """Return texts of one template that share half of their words, each tenth planted."""
    draw = random.Random(4).choice
    lines = [
        f"{draw(NAMES)} wrote to {draw(NAMES)}{draw(NAMES)} that the invoice of {draw(NAMES)} "
        f"for {draw(range(999))} euros is late, please remind them by {draw(DAYS)} or call "
        f"{draw(NAMES)}"
        for _ in range(count)
    ]
    for place in range(0, count, 10):
        lines[place] = lines[place + 1].replace("please", "kindly")
    return lines
