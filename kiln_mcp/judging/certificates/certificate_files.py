"""Where certificates are kept: signed lines beside the evaluator, files to print in the home."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import anyio.to_thread
from pydantic import ValidationError

from kiln_mcp.home import write_private
from kiln_mcp.judging.certificates.certificate import Certificate, SignedCertificate
from kiln_mcp.judging.certificates.certificate_page import certificate_page
from kiln_mcp.labels.certificate_lines import CERTIFICATES
from kiln_mcp.labels.signature import is_signed_here, sign
from storage import EvalConfig, ProjectStore
from storage.errors import Refusal

_FOLDER: Final = "certificates"


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """The files of one certificate.

    Attributes:
        page: The page to print.
        document: The signed JSON.
    """

    page: Path
    document: Path


@dataclass(frozen=True, slots=True)
class EarlierCertificates:
    """The certificates that a judge was given before.

    Attributes:
        signed_here: Those that this home wrote, unchanged.
        other_count: Those of other homes, or changed since.
    """

    signed_here: Sequence[Certificate]
    other_count: int


async def issue(
    store: ProjectStore, evaluator: EvalConfig, certificate: Certificate, home: Path
) -> CertificateFiles:
    """Sign a certificate, add it to those of its evaluator, and write its files in the home.

    Raises:
        Refusal: The home cannot be written.
    """
    try:
        signed_certificate = SignedCertificate(
            certificate=certificate, signature=sign(certificate, home)
        )
        files = await anyio.to_thread.run_sync(_write, signed_certificate, home)
    except OSError as error:
        raise Refusal(
            "The certificate was not written, because {folder} cannot be: {reason}. Free space or "
            "give yourself the right to write there, then call this again.",
            folder=str(home / _FOLDER),
            reason=error.strerror or str(error),
        ) from error
    async with store.transaction() as change:
        change.append_lines(evaluator, CERTIFICATES, [signed_certificate.model_dump_json()])
    return files


async def read_earlier(
    store: ProjectStore, evaluator: EvalConfig, home: Path
) -> EarlierCertificates:
    """Return the certificates that an evaluator was given before, the oldest first."""
    own: list[Certificate] = []
    other_count = 0
    for line in await store.side_lines(evaluator, CERTIFICATES):
        try:
            signed_certificate = SignedCertificate.model_validate_json(
                line.encode("utf-8", "surrogateescape")
            )
        except ValidationError:
            other_count += 1
            continue
        if is_signed_here(signed_certificate.certificate, signed_certificate.signature, home):
            own.append(signed_certificate.certificate)
        else:
            other_count += 1
    return EarlierCertificates(own, other_count)


def _write(signed_certificate: SignedCertificate, home: Path) -> CertificateFiles:
    folder = home / _FOLDER
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    certificate = signed_certificate.certificate
    words = f"{certificate.eval} {certificate.judge} {certificate.score} {certificate.id}"
    name = re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")[:120]
    files = CertificateFiles(folder / f"{name}.html", folder / f"{name}.json")
    write_private(files.page, certificate_page(signed_certificate).encode())
    write_private(files.document, signed_certificate.model_dump_json(indent=2).encode())
    return files
