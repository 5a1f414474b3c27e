"""An OpenAI-compatible server that answers every request after a fixed time.

    python server.py [milliseconds] [port]

Raw asyncio, so that it takes little of the processor that is being measured.
"""

import asyncio
import json
import sys


def reply(body: bytes) -> bytes:
    answer = {
        "id": "1",
        "object": "chat.completion",
        "created": 0,
        "model": "judge",
        "choices": [
            {
                "index": 0,
                "finish_reason": "stop",
                "message": {"role": "assistant", "content": '{"score": "pass"}'},
            }
        ],
        "usage": {"prompt_tokens": len(body) // 4, "completion_tokens": 6, "total_tokens": 0},
    }
    return json.dumps(answer).encode()


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, wait: float) -> None:
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
            body = await reader.readexactly(length)
            await asyncio.sleep(wait)
            content = reply(body)
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
    server = await asyncio.start_server(
        lambda r, w: serve(r, w, wait), "127.0.0.1", port, backlog=1024
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
