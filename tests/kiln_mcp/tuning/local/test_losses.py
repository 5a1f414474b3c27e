import math
import xml.etree.ElementTree as ET

import pytest

from kiln_mcp.tuning.local.loss_curves import draw_losses
from kiln_mcp.tuning.local.model_card import write_card
from kiln_mcp.tuning.local.outlook import Outlook, duration
from kiln_mcp.tuning.local.trainer.batches import epoch_order
from kiln_mcp.tuning.local.trainer.loss_watch import divergence, is_stale
from kiln_mcp.tuning.local.work_folder import LocalRequest, LossPoint


def points(losses: list[float], validations: dict[int, float] | None = None) -> list[LossPoint]:
    by_step = validations or {}
    return [
        LossPoint(step=step, loss=loss, validation=by_step.get(step))
        for step, loss in enumerate(losses, 1)
    ]


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_loss_that_is_no_number_stops_at_once(loss: float) -> None:
    assert f"the loss of step 2 is {loss}" in divergence(points([3.0, loss]))


def test_a_loss_far_above_the_start_stops_and_noise_does_not() -> None:
    assert "rose from 2.00 to 9.00" in divergence(points([2.0] * 8 + [9.0] * 8))
    assert divergence(points([2.0] * 8 + [2.6, 1.0] * 8)) == ""
    assert divergence(points([0.01] * 8 + [0.5] * 8)) == ""
    assert divergence(points([9.0] * 3)) == ""


def test_a_training_that_blows_up_at_once_stops_though_its_first_steps_were_bad_too() -> None:
    plateau = [1.06, 1.07, 1.05, 1.07, 1.08, 1.06, 1.06, 1.07]
    losses = [0.01, 7.1, 3.4, 1.3, 2.9, 1.2, 1.1, 1.6, *plateau]
    assert "rose from 0.01 to 1.06" in divergence(points(losses))
    assert "rose from 2.00 to 5.00" in divergence(points([2.0] + [6.0] * 7 + [5.3, 4.7] * 4))


def test_an_easy_first_batch_is_no_divergence() -> None:
    losses = [0.2] + [3.1, 0.4, 4.0, 2.5, 1.2, 3.3, 0.9, 2.2] * 3
    assert [divergence(points(losses[:n])) for n in range(1, len(losses) + 1)] == [""] * len(losses)


def test_a_base_whose_own_loss_is_no_number_is_told_from_a_training_that_diverges() -> None:
    assert "the base's weights are damaged" in divergence(points([math.nan]))
    assert "damaged" not in divergence(points([2.0, math.nan]))


def test_validation_that_gets_no_better_ends_a_training_after_its_patience() -> None:
    losses = [1.0] * 8
    assert not is_stale(points(losses, {2: 3.0, 4: 2.0, 6: 2.1}), 2)
    assert is_stale(points(losses, {2: 3.0, 4: 2.0, 6: 2.1, 8: 2.0}), 2)
    assert not is_stale(points(losses, {2: 3.0, 4: 2.0, 6: 2.1, 8: 1.9}), 2)


def test_the_order_is_that_of_the_seed_and_reads_each_example_once() -> None:
    lengths = [n % 7 + 1 for n in range(53)]
    first = epoch_order(lengths, 4, seed=1, epoch=0)
    assert first == epoch_order(lengths, 4, seed=1, epoch=0)
    assert first != epoch_order(lengths, 4, seed=1, epoch=1)
    assert first != epoch_order(lengths, 4, seed=2, epoch=0)
    assert sorted(place for batch in first for place in batch) == list(range(53))
    assert len(first) == 14


def test_the_picture_is_svg_with_both_curves_inside_its_frame() -> None:
    text = draw_losses(points([4.0, 2.0, 1.0], {2: 3.0}), 6)
    lines = [node for node in ET.fromstring(text).iter() if node.tag.endswith("polyline")]
    assert len(lines) == 2
    for line in lines:
        for place in line.attrib["points"].split():
            x, y = map(float, place.split(","))
            assert 0 <= x <= 640
            assert 0 <= y <= 320
    assert "polyline" not in draw_losses([], 6)


def test_the_card_names_data_parameters_and_the_licence() -> None:
    request = LocalRequest(
        title="me/base", base="/b", parameters={"epochs": 2}, licence="mit", fingerprint="f00"
    )
    card = write_card("Mine", request, 12, points([4.0, 2.0], {2: 3.0}))
    for words in ("`me/base`", "license: mit", "12 examples", "f00", "| epochs | 2 |", "3.000"):
        assert words in card
    assert "| validation | none |" in write_card("Mine", request, 12, points([4.0]))


def test_times_are_said_in_the_unit_that_fits_and_memory_beside_what_is_free() -> None:
    assert [duration(s) for s in (12, 600, 7200)] == ["12 seconds", "10 minutes", "2.0 hours"]
    sentence = Outlook(device="the processor", needed_bytes=3 * 10**9, free_bytes=None).sentence
    assert sentence.endswith("3.0 GB.")
