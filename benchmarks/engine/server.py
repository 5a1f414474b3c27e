"""An OpenAI-compatible server that answers every request after a fixed time.

    python server.py [milliseconds] [port] [answer]

Raw asyncio, so that it takes little of the processor that is being measured. GET / says at once how
many calls were answered. GET /report answers with the calls, the seconds from the first question to
the last answer, the most that were open at once, and when the first question came by the machine's
monotonic clock; GET /forget begins anew.
"""

import asyncio
import json
import sys
import time


def reply(body: bytes, text: str) -> bytes:
    answer = {
        "id": "1",
        "object": "chat.completion",
        "created": 0,
        "model": "judge",
        "choices": [
            {
                "index": 0,
                "finish_reason": "stop",
                "message": {"role": "assistant", "content": text},
            }
        ],
        "usage": {"prompt_tokens": len(body) // 4, "completion_tokens": 6, "total_tokens": 0},
    }
    return json.dumps(answer).encode()


class Server:
    def __init__(self, wait: float, text: str) -> None:
        self.wait, self.text = wait, text
        self.forget()

    def forget(self) -> None:
        self.answered = self.open = self.most_open = 0
        self.first = self.last = 0.0

    def get(self, head: bytes) -> bytes:
        if head.startswith(b"get /forget"):
            self.forget()
        elif head.startswith(b"get /report"):
            span = round(self.last - self.first, 3)
            report = {"calls": self.answered, "span_s": span, "most_open": self.most_open}
            report["first"] = self.first
            return json.dumps(report).encode()
        elif head.startswith(b"get /v1/models"):
            return json.dumps({"object": "list", "data": [{"id": "judge"}]}).encode()
        return str(self.answered).encode()

    async def post(self, body: bytes) -> bytes:
        self.first = self.first or time.perf_counter()
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        await asyncio.sleep(self.wait)
        self.open -= 1
        self.answered += 1
        self.last = time.perf_counter()
        return reply(body, self.text)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                if head.startswith(b"get "):
                    content = self.get(head)
                else:
                    length = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
                    content = await self.post(await reader.readexactly(length))
                writer.write(
                    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: "
                    + str(len(content)).encode()
                    + b"\r\n\r\n"
                    + content
                )
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


async def main() -> None:
    wait = float(sys.argv[1]) / 1000 if len(sys.argv) > 1 else 0.05
    port = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    text = sys.argv[3] if len(sys.argv) > 3 else '{"score": "pass"}'
    server = await asyncio.start_server(Server(wait, text).serve, "127.0.0.1", port, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
