"""Ids of records: random, and others in each process."""

import multiprocessing
import sys

import pytest

from storage.records.record import ids_from, new_id, new_job_id


def test_ids_are_twelve_digits_and_differ() -> None:
    ids = {new_id() for _ in range(1_000)}
    assert len(ids) == 1_000
    assert all(len(one) == 12 and one.isdecimal() for one in ids)


@pytest.mark.skipif(sys.platform == "win32", reason="processes are never forked there")
def test_a_forked_process_makes_other_ids_than_its_parent() -> None:
    with multiprocessing.get_context("fork").Pool(2) as pool:
        forked = [pool.apply(new_id), pool.apply(new_id)]
    own = [new_id() for _ in range(3)]
    assert not set(forked) & set(own)


def test_ids_from_a_seed_are_the_same_and_leave_no_trace() -> None:
    with ids_from("a test"):
        first = [new_id(), new_job_id()]
    with ids_from("a test"):
        assert [new_id(), new_job_id()] == first
    assert new_id() not in first
