"""The answer about certificates."""

from typing import Literal

from pydantic import Field

from kiln_mcp.workbench.capability import Result
from storage.errors import NextStep

StateName = Literal[
    "certified", "not_reachable", "labels_contradict", "no_information", "not_yet", "stale"
]


class CertificateRow(Result):
    """How an audit of a judge stands, for one score."""

    evaluator: str
    score: str
    state: StateName
    sentence: str
    claim: float | None = Field(description="The agreement that is claimed.")
    low: float = Field(description="The least agreement, valid at every look.")
    high: float = Field(description="The highest.")
    labels: int
    skips: int = Field(description="Drawn and passed over: they count against every claim.")
    outputs: int = Field(description="In the pool that was sampled.")
    more_labels: tuple[int, int] | None = Field(
        default=None, description="About so many more labels decide."
    )
    page: str | None = Field(default=None, description="The file to print.")
    document: str | None = Field(default=None, description="The signed JSON.")


class CertificateReport(Result):
    """How far judges are certified."""

    eval: str
    certificates: list[CertificateRow]
    ambiguity: list[str] = Field(
        default=[],
        description="What panels of models measured of the spec's clauses; no part of it.",
    )
    earlier: int = Field(default=0, description="Certificates that were signed here before.")
    new_verdicts: int = Field(description="Verdicts that this call asked of judges.")
    failed: int
    warnings: list[str]
    next: list[NextStep] = Field(default=[], description="Calls that help now.")


class CertificateCheck(Result):
    """Whether a certificate is as it was issued, and whether it can be computed again."""

    says: str
    state: StateName = Field(description="As the certificate states it.")
    statement: str
    signature: Literal["valid", "other_home"]
    replay: Literal["same", "differs", "not_tried"] = Field(
        description="Whether the project's draws and labels give the same again."
    )
    differences: list[str]
    changed: list[str] = Field(description="What has changed since: it is stale then.")
    page: str | None = Field(default=None, description="The file to print.")
    next: list[NextStep] = Field(default=[], description="Calls that help now.")
