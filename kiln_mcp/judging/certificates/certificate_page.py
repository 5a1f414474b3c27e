"""The printable page of a certificate: one sheet, one file, light and dark."""

from typing import Final

from kiln_mcp.judging.certificates.audit_status import CertificateState, percent
from kiln_mcp.judging.certificates.certificate import Number, SignedCertificate
from kiln_mcp.workbench.pages import render_page

_STATES: Final = {
    CertificateState.CERTIFIED: "Certified",
    CertificateState.NOT_REACHABLE: "Not reachable",
    CertificateState.LABELS_CONTRADICT: "The labels contradict",
    CertificateState.NO_INFORMATION: "No information",
    CertificateState.NOT_YET: "Not yet",
    CertificateState.STALE: "Stale",
}
_NAMES: Final = {
    "agreement": "Agreement",
    "kappa": "Agreement beyond chance (κ)",
    "weighted_kappa": "κ weighted by distance",
    "advantage": "Agreement above the best constant answer",
    "tau_b": "Rank correlation (Kendall)",
    "spearman": "Rank correlation (Spearman)",
    "pearson": "Correlation (r)",
    "mean_error": "Mean distance",
    "squared_error": "Mean squared distance",
    "bias": "Judge's mean less the labels'",
    "true_pass_rate": "Labelled passes that it passes",
    "true_fail_rate": "Labelled fails that it fails",
    "pass_rate": "Outputs that people pass",
}
_STAR_NUMBERS: Final = frozenset({"weighted_kappa", "spearman", "pearson", "squared_error"})


def certificate_page(document: SignedCertificate) -> str:
    """Return the page of a certificate as HTML; it loads nothing from elsewhere."""
    certificate = document.certificate
    has_rates = "true_pass_rate" in certificate.numbers
    numbers = [
        (_NAMES.get(name, name), number)
        for name, number in certificate.numbers.items()
        if not (has_rates and name in _STAR_NUMBERS)
    ]
    return render_page(
        __package__ or "",
        "certificate.html",
        c=certificate,
        title=f"Audit of the judge {certificate.judge}",
        state=_STATES[CertificateState(certificate.state)],
        numbers=numbers,
        number=_text_of,
        percent=percent,
        signature=document.signature,
    )


def _text_of(number: Number) -> str:
    if number.value is None:
        return "cannot tell"
    if number.low is None:
        return percent(number.value)
    return f"{percent(number.value)} ({percent(number.low)} to {percent(number.high)})"
