import pytest

from kiln_mcp.llm.messages import Message
from kiln_mcp.llm.providers.order_batches import (
    ITEM_OVERHEAD,
    MARKER,
    WorkOrder,
    batches_of,
    within_size,
)


def order(name: str, text: str, system: str = "Judge.") -> WorkOrder:
    return WorkOrder(name, (Message("system", system), Message("user", text)), None, ())


def test_what_orders_have_in_common_is_said_once() -> None:
    orders = [order(str(n), f"Read this.\n\n<output>\nReply {n}\n</output>\nPass?") for n in (1, 2)]
    [batch] = batches_of(orders)
    assert batch.frame[1].content == f"Read this.\n\n<output>\n{MARKER}</output>\nPass?"
    assert batch.items == (("1", "Reply 1\n"), ("2", "Reply 2\n"))


@pytest.mark.parametrize(
    "texts",
    [
        ("a\nb\n", "a\nb\n"),
        ("a\n", "a\na\n"),
        ("", "a"),
        ("x\r\ny", "x\r\nz"),
        ("a {{item}}\nb", "a {{item}}\nc"),
        ("one\u2028two\nthree", "one\u2028four\nthree"),
    ],
)
def test_the_frame_with_the_items_text_is_the_whole_text(texts: tuple[str, str]) -> None:
    [batch] = batches_of([order("first", texts[0]), order("second", texts[1])])
    assert batch.frame[-1].content.count(MARKER) == 1
    assert tuple(batch.messages_with(text)[-1].content for _, text in batch.items) == texts


def test_a_single_order_keeps_its_messages_though_they_hold_a_marker() -> None:
    [batch] = batches_of([order("1", f"Write {MARKER}.")])
    assert batch.items == (("1", None),)
    assert batch.messages_with(None)[-1].content == f"Write {MARKER}."


def test_orders_with_another_system_message_are_another_batch() -> None:
    batches = batches_of([order("1", "a"), order("2", "b", "Write."), order("3", "c")])
    assert [[name for name, _ in batch.items] for batch in batches] == [["1", "3"], ["2"]]


def test_as_many_orders_are_taken_as_fit_and_one_in_any_case() -> None:
    orders = [order(str(n), f"Rules of the house.\n{'x' * 100}{n}") for n in range(10)]
    [all_of_them] = batches_of(orders)
    size = all_of_them.frame_size + 3 * (ITEM_OVERHEAD + 101) + 1
    assert [len(batch.items) for batch in within_size([all_of_them], size)] == [3]
    assert [len(batch.items) for batch in within_size([all_of_them], 1)] == [1]
