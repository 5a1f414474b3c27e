"""Draws of a design replay, and no others do."""

import random
from dataclasses import replace

import pytest

from kiln_mcp.statistics import AuditDesign, StoredDraw, draw_probabilities, replays


def draws_of(design: AuditDesign, seed: int, count: int) -> list[list[StoredDraw]]:
    """Draw the whole pool in requests of some draws, with labels after each."""
    draw = random.Random(seed)
    left, labels, agreements = list(design.sizes), [0] * len(design.sizes), [0] * len(design.sizes)
    requests: list[list[StoredDraw]] = []
    while any(left):
        request: list[StoredDraw] = []
        for _ in range(min(count, sum(left))):
            chances = draw_probabilities(design, left, labels, agreements)
            (place,) = draw.choices(range(len(left)), weights=chances)
            request.append(StoredDraw(place, chances, tuple(left)))
            left[place] -= 1
        for item in request:
            labels[item.stratum] += 1
            agreements[item.stratum] += draw.random() < 0.9
        requests.append(request)
    return requests


@pytest.mark.parametrize("seed", range(10))
def test_every_draw_of_a_design_replays_until_the_pool_is_empty(seed: int) -> None:
    draw = random.Random(seed)
    strata = draw.randint(1, 6)
    sizes = tuple(draw.choice([1, 2, 9, 60]) for _ in range(strata))
    design = AuditDesign(sizes, tuple(draw.uniform(0.5, 0.95) for _ in range(strata)))
    assert replays(design, draws_of(design, seed, draw.choice([1, 3, 20])))


def test_a_request_without_its_first_draw_replays() -> None:
    design = AuditDesign((40, 9), (0.9, 0.5))
    assert replays(design, [request[1:] for request in draws_of(design, 1, 7)])


def test_a_probability_below_the_even_share_or_of_an_empty_stratum_does_not_replay() -> None:
    design = AuditDesign((40, 9), (0.9, 0.5))
    first, second, *_ = draws_of(design, 1, 1)
    (item,) = second
    assert replays(design, [first, [item]])
    for chances in ((0.2, 0.8), (0.99, 0.01), (0.6, 0.3)):
        assert not replays(design, [first, [replace(item, probabilities=chances)]])
    assert not replays(design, [first, [replace(item, left=(0, 49))]])
