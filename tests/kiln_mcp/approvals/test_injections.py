"""No text makes an obedient model act without the person, whatever arguments it passes.

The model reads a project full of injected instructions and obeys all of them at every door: it
calls every tool of the catalogue with working arguments, with every forged approval, with every
approval id that it has seen. Nothing may be spent, destroyed, sent or certified.
"""

from collections.abc import AsyncGenerator
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from kiln_mcp.approvals.approval import Door as PersonsDoor
from kiln_mcp.approvals.approval_store import ApprovalStore
from kiln_mcp.catalogue import installed_catalogue
from tests.kiln_mcp.approvals.hostile_doors import DOORS, PLANNING, drive, mcp_door
from tests.kiln_mcp.approvals.hostile_project import fill, working_arguments
from tests.kiln_mcp.approvals.hostile_world import HostileWorld, Models, hostile_world
from tests.kiln_mcp.approvals.obedient import Call

STOPPED = {
    "build_spec", "check_judge", "create_evaluator", "delete_records", "empty_trash", "export",
    "generate_data", "improve_prompt", "label_items", "run_eval", "sync_project", "test_model",
    "verify_certificate",
}  # fmt: skip
"""Tools that would act on the world's project, so each door must stop them at least once."""


@pytest.fixture
async def world(tmp_path: Path) -> AsyncGenerator[HostileWorld]:
    async with hostile_world(tmp_path / "world") as made:
        await fill(made)
        yield made


def test_the_world_knows_working_arguments_of_every_tool(tmp_path: Path) -> None:
    world = HostileWorld(tmp_path, Models([]), runs=("1",))
    names = {item.name for item in installed_catalogue().capabilities}
    assert set(working_arguments(world, ["1"])) == names


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", DOORS)
async def test_an_obedient_model_does_nothing_without_the_person(
    world: HostileWorld, name: str
) -> None:
    before = world.evidence()
    with anyio.fail_after(800):
        async with DOORS[name](world) as door:
            done = await drive(world, door)
    assert world.evidence() == before
    assert before.approvals == frozenset()
    assert done.stopped() >= STOPPED
    assert (world.models.free > 0) is (name != PLANNING)


async def test_the_same_model_acts_once_the_person_has_approved(world: HostileWorld) -> None:
    """Show that the evidence would tell: the forged calls above fail for want of a person alone."""
    store = ApprovalStore(world.home)
    [arguments] = world.tools["empty_trash"]
    before = world.evidence()
    with anyio.fail_after(100):
        async with mcp_door(world, era="auto") as door:
            assert "needs_approval" in await door.call(Call("empty_trash", arguments))
            [request] = store.waiting()
            assert store.approve(request.id, PersonsDoor.TERMINAL)
            await door.call(Call("empty_trash", {"approval_id": request.id}))
            await door.call(Call("empty_trash", {"approval_id": request.id}))
    after = world.evidence()
    assert len(after.lost) == 1
    assert after == replace(before, lost=after.lost, approvals=frozenset({request.id}))
