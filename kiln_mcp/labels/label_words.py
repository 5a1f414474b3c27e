"""The words for the values of labels."""


def label_text(value: float, kind: str) -> str:
    """Return the word for a label: pass, fail, critical, or the number of stars."""
    if kind == "five_star":
        return f"{value:g}"
    return {1.0: "pass", 0.0: "fail", -1.0: "critical"}.get(value, f"{value:g}")
