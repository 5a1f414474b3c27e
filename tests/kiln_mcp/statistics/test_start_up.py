import subprocess
import sys

import pytest


@pytest.mark.parametrize("room", ["statistics", "evals.service", "judging.service"])
def test_listing_what_there_is_loads_no_heavy_library(room: str) -> None:
    code = (
        f"import kiln_mcp.{room}, sys; "
        "print([name for name in ('scipy', 'numpy', 'litellm', 'torch') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"
