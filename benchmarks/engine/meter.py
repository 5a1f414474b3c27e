"""What a run took: wall, processor time with that of child processes, peak memory."""

import json
import resource
import time
from pathlib import Path


def processor() -> float:
    own = resource.getrusage(resource.RUSAGE_SELF)
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def peak_mib() -> int:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return round(int(status.partition("VmHWM:")[2].split()[0]) / 1024)


class Meter:
    """Started where the run begins; `tell` ends it and prints one JSON line."""

    def __init__(self) -> None:
        self.cpu, self.started = processor(), time.perf_counter()
        self.taken: tuple[float, float] | None = None

    def stop(self) -> None:
        self.taken = time.perf_counter() - self.started, processor() - self.cpu

    def tell(self, path: str, calls: int, concurrency: int, **more: float) -> None:
        if self.taken is None:
            self.stop()
        assert self.taken is not None
        wall, cpu = self.taken
        figures = {
            "path": path,
            "calls": calls,
            "concurrency": concurrency,
            "wall_s": round(wall, 3),
            "cpu_ms_a_call": round(cpu / calls * 1000, 3),
            "peak_mib": peak_mib(),
        }
        print(json.dumps(figures | more), flush=True)
