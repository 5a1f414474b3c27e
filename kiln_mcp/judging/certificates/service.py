"""Capability: verify a signed certificate, and print its page."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import anyio.to_thread
from pydantic import Field

from kiln_mcp.approvals.plan import Plan
from kiln_mcp.judging.certificates.answers import CertificateCheck
from kiln_mcp.judging.certificates.certificate import SignedCertificate
from kiln_mcp.judging.certificates.certificate_page import certificate_page
from kiln_mcp.judging.certificates.verification import (
    Replay,
    SignatureState,
    read_certificate,
    replay,
    signature_state,
)
from kiln_mcp.projects.exchange.destinations import outside
from kiln_mcp.projects.project_references import ProjectReference
from kiln_mcp.workbench.capability import (
    Discovery,
    Effect,
    Heading,
    Proposal,
    Toolset,
    capability,
)
from kiln_mcp.workbench.workspace import Workspace
from storage.atomic_write import write_atomically
from storage.border import check_target
from storage.errors import InvalidValue, NextStep, Refusal


@capability(
    effect=Effect.WRITES,
    title="Verify a certificate",
    sends_out=True,
    discovery=Discovery(
        Heading.JUDGES,
        "authentic, forged, tampered, genuine, signature, signed, valid, proof, print, PDF, paper, "
        "auditor, compliance, still holds, expired, replay, check the certificate, is it real",
        toolset=Toolset.ADMIN,
    ),
)
async def verify_certificate(
    workspace: Workspace,
    file: Annotated[str, Field(description="The signed .json, as check_judge names it.")],
    project: Annotated[
        ProjectReference | None, Field(description="Also compute it again from this project.")
    ] = None,
    page: Annotated[str | None, Field(description="Write the page to print, .html.")] = None,
) -> Proposal[CertificateCheck]:
    """Verify a judge's certificate: is it as it was signed, does the project still give the same?

    A certificate of another home can only be computed again from its project.
    """
    place = workspace.place(file)
    document = await anyio.to_thread.run_sync(read_certificate, place)
    state = await anyio.to_thread.run_sync(signature_state, document, workspace.settings.home)
    if state is SignatureState.ALTERED:
        raise _alteration(place)
    store = await workspace.open_project(project) if project else None
    target = None if page is None else _target(workspace, page)
    plan = Plan("Verify a certificate.")
    if target is not None:
        plan = Plan(
            f"Write the page of the certificate of {document.certificate.judge!r}.",
            irreversible=await anyio.to_thread.run_sync(os.path.lexists, target),
            destination=outside(workspace, store, target),
        )

    async def verify() -> CertificateCheck:
        result = None if store is None else await replay(store, document.certificate)
        if target is not None:
            await anyio.to_thread.run_sync(_write_page, document, target)
        return _Verification(document, state, result, place, target).answer()

    return Proposal(plan, verify)


def _target(workspace: Workspace, page: str) -> Path:
    """Return where the page goes.

    Raises:
        InvalidValue: The name does not end in .html.
        UnsafePath: It would lie in git's own folder.
    """
    target = workspace.place(page)
    if target.suffix.lower() not in {".html", ".htm"}:
        raise InvalidValue(
            "The page of a certificate is HTML: give `page` a name that ends in .html, not '{name}'"
            ". A browser prints it, or saves it as PDF.",
            name=target.name,
        )
    check_target(target)
    return target


def _write_page(document: SignedCertificate, target: Path) -> None:
    check_target(target)
    write_atomically(target, certificate_page(document).encode())


def _alteration(file: Path) -> Refusal:
    return Refusal(
        "{file} was changed after this home signed it, so it proves nothing. Issue the certificate "
        "again.",
        file=str(file),
        next=[
            NextStep(
                tool="check_judge",
                reason="issue what the draws and labels show now",
                arguments={"show": "certificate"},
            )
        ],
    )


@dataclass(frozen=True, slots=True)
class _Verification:
    """What was found of a certificate."""

    document: SignedCertificate
    signature: SignatureState
    replay: Replay | None
    file: Path
    page: Path | None

    def answer(self) -> CertificateCheck:
        certificate, replay = self.document.certificate, self.replay
        differences = list(replay.differences) if replay else []
        outcome = "not_tried" if replay is None else "differs" if differences else "same"
        is_valid = self.signature is SignatureState.VALID
        return CertificateCheck.model_validate({
            "says": " ".join([self._signature_text, self._replay_text]),
            "state": certificate.state,
            "statement": certificate.statement,
            "signature": "valid" if is_valid else "other_home",
            "replay": outcome,
            "differences": differences,
            "changed": list(replay.changed) if replay else [],
            "page": str(self.page) if self.page else None,
            "next": self._next_steps,
        })  # fmt: skip

    @property
    def _signature_text(self) -> str:
        if self.signature is SignatureState.VALID:
            return "The signature is valid: this home wrote exactly this certificate."
        return (
            f"Another home signed it ({self.document.signature.key}), whose key is not here: the "
            "signature tells nothing."
        )

    @property
    def _replay_text(self) -> str:
        if self.replay is None:
            return "It was not computed again: give its `project` for that."
        if self.replay.differences:
            return f"The project does not give it again: {'; '.join(self.replay.differences)}."
        same = "The project's draws and labels give the same again."
        if self.replay.changed:
            return f"{same} It is stale: {' and '.join(self.replay.changed)} changed since."
        return f"{same} The judge is still as it was."

    @property
    def _next_steps(self) -> list[NextStep]:
        steps: list[NextStep] = []
        if self.replay is None:
            steps.append(
                NextStep(
                    tool="verify_certificate",
                    reason="compute it again from the draws and labels of its project",
                    arguments={"file": str(self.file)},
                )
            )
        return steps
