"""What is said where nothing could be scored."""

from kiln_mcp.evals.errors import no_score


def test_reasons_that_differ_in_their_numbers_are_told_as_one() -> None:
    reasons = [f"The server did not answer {count} times in a row." for count in (3, 4, 5)]
    said = str(no_score([*reasons, "It is full."]))
    assert said == (
        "None of 4 outputs could be scored. 3 times: The server did not answer 3 times in a row. "
        "Once: It is full. Mend this, then try again."
    )


def test_one_reason_that_is_left_out_is_one() -> None:
    said = str(no_score(["a", "a", "b", "c", "d"]))
    assert said.endswith("Once: b Once: c … and 1 other reason. Mend this, then try again.")
