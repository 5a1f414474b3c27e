"""The least that could do it: aiohttp and a SQLite cache, with no limits, retries or checks.

python raw.py PORT CALLS CONCURRENCY
"""

import asyncio
import hashlib
import json
import sqlite3
import sys
import tempfile
import time
from pathlib import Path

import aiohttp
from meter import Meter

SYSTEM = {"role": "system", "content": "Judge whether the answer is polite. " * 10}


async def judge(http: aiohttp.ClientSession, cache: sqlite3.Connection, text: str) -> bool:
    asked = {"model": "judge", "messages": [SYSTEM, {"role": "user", "content": text}]}
    key = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).digest()
    known = cache.execute("select answer from calls where key = ?", (key,)).fetchone()
    if known is None:
        async with http.post("v1/chat/completions", json=asked) as response:
            known = ((await response.json())["choices"][0]["message"]["content"],)
        cache.execute("insert into calls values (?, ?)", (key, known[0]))
    return json.loads(known[0])["score"] == "pass"


async def main() -> None:
    port, calls, concurrency = map(int, sys.argv[1:4])
    with tempfile.TemporaryDirectory() as folder:
        cache = sqlite3.connect(Path(folder, "cache.sqlite"), isolation_level=None)
        cache.execute("pragma journal_mode = wal")
        cache.execute("pragma synchronous = normal")  # as our response cache
        cache.execute("create table calls (key blob primary key, answer text)")
        async with aiohttp.ClientSession(
            f"http://127.0.0.1:{port}/", connector=aiohttp.TCPConnector(limit=concurrency)
        ) as http:
            await judge(http, cache, "the first connection")
            texts = [f"Answer {n}: thank you for your patience." for n in range(calls)]
            meter = Meter()
            assert all(await asyncio.gather(*(judge(http, cache, text) for text in texts)))
            meter.stop()
            started = time.perf_counter()
            assert all(await asyncio.gather(*(judge(http, cache, text) for text in texts)))
            replay = time.perf_counter() - started
        cache.close()
    meter.tell("raw client", calls, concurrency, replay_s=round(replay, 3))


if __name__ == "__main__":
    asyncio.run(main())
