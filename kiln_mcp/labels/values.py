"""The values of labels in words."""


def label_text(value: float, kind: str) -> str:
    """Return a label as a person says it: pass, fail, critical, or stars."""
    if kind == "five_star":
        return f"{value:g}"
    return {1.0: "pass", 0.0: "fail", -1.0: "critical"}.get(value, f"{value:g}")
