"""The main job on real input: from a one-line wish to a measured, better prompt."""

from kiln_mcp.demo.main_job import DemoReport, demonstrate, run_demo

__all__ = ["DemoReport", "demonstrate", "run_demo"]
