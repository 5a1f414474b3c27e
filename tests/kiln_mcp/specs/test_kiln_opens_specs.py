"""Kiln's own library opens what sessions save: every kind of spec, its eval and its judge."""

from pathlib import Path

import pytest

from kiln_library import read_by_kiln
from kiln_mcp.spec_texts.spec_kinds import FORMS, SpecKind
from spec_bench import open_spec_bench


@pytest.mark.kiln
async def test_kiln_opens_specs_of_every_kind_with_their_evals_and_judges(tmp_path: Path) -> None:
    async with open_spec_bench(tmp_path, default_model="scripted") as bench:
        for kind in SpecKind:
            form = FORMS[kind]
            examples = {form.good, form.bad}
            fields = {name: "The reply names the order." for name in form.required
                      if name not in examples}  # fmt: skip
            await bench.call(kind=kind, fields=fields, name=f"Own {kind}"[:32], save=True)
        await bench.call("Be polite, and promise nothing", answers="assume", save=True)
        kinds = {spec.properties.spec_type for spec in await bench.specs()}
        assert kinds == set(SpecKind)
        report = await read_by_kiln(tmp_path / "p")
        assert report["errors"] == []
        counts = report["counts"]
        assert isinstance(counts, dict)
        assert counts["spec"] == len(await bench.specs())
        assert counts.keys() >= {"eval", "eval_config"}, counts
