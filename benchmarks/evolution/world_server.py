"""The simulated world as a model server: models `task`, `judge` and `reflect`, and GET /stats.

The judge reads the ticket and the answer out of its prompt; the reflecting model reads blocks and
complaints, and answers with edits of blocks. Run by `at_the_door.py`; prints its port.
"""

import argparse
import asyncio
import json
import re
import sys

from aiohttp import web

from kiln_mcp.evolution.engine import Candidate
from kiln_mcp.evolution.engine.alignment import align
from kiln_mcp.evolution.engine.candidates import Block

INSTRUCTION = re.compile(r"<instruction-blocks>\n(.*?)\n</instruction-blocks>", re.S)
BLOCK = re.compile(r"^\[([\w.-]+)\]\n(.*?)(?=\n\n\[|\Z)", re.S | re.M)
TICKET = re.compile(r"Topic: \w+\. Ticket #\w+: .*")
ANSWER = re.compile(r"<model_response>\n(.*?)\n</model_response>", re.S)


def judge_answer(world, text: str, schema: dict) -> str:
    """Return the checker's verdict in the form that the judge's schema asks for."""
    example = world.by_text[TICKET.search(text).group().strip()]
    score, feedback, _ = world.evaluate(example, ANSWER.search(text).group(1))
    answer = {}
    for name, field in schema["properties"].items():
        if name == "reasoning":
            answer[name] = feedback
        elif "integer" in field["type"]:
            answer[name] = round(1 + 4 * score)
        else:
            answer[name] = "pass" if score >= 1 else "fail"
    return json.dumps(answer)


def edits_answer(world, text: str, occurrence: int) -> str:
    """Return what the world's reflecting model writes, as edits of blocks."""
    listed = INSTRUCTION.search(text).group(1)
    base = Candidate(tuple(Block(name, body, gap="\n") for name, body in BLOCK.findall(listed)))
    rest = INSTRUCTION.sub("", text)
    question = f"<current_prompt>\n{base.text}\n</current_prompt>\n{rest}"
    reply = world.reflect_reply(question, occurrence)
    edits = align(base, reply.split("```")[1].strip("\n"))[:3]
    return json.dumps(
        {
            "failure": "what the reviewer says",
            "edits": [
                {
                    "operation": edit.operation,
                    "block": edit.block,
                    "text": edit.text,
                    "reason": "The reviewer asks for it.",
                }
                for edit in edits
                if edit.operation != "move"
            ],
        }
    )


class WorldServer:
    def __init__(self, llm, world) -> None:
        self.llm, self.world = llm, world
        self.questions = 0
        llm._reply = self.reply

    def reply(self, role: str, messages: list[dict]) -> str:
        text = "\n".join(message["content"] for message in messages)
        if role == "judge":
            return judge_answer(self.world, text, messages[0]["schema"])
        if role == "reflect":
            self.llm.occ[text] += 1
            return edits_answer(self.world, text, self.llm.occ[text])
        system = "\n".join(m["content"] for m in messages if m["role"] == "system")
        user = messages[-1]["content"]
        self.llm.pairs[system, user] += 1
        return self.world.task_reply(system, user, self.llm.pairs[system, user])

    async def chat(self, request: web.Request) -> web.Response:
        body = await request.json()
        messages = [dict(message) for message in body["messages"]]
        schema = (body.get("response_format") or {}).get("json_schema") or {}
        messages[0]["schema"] = schema.get("schema")
        answer = await self.llm.complete(messages, body["model"])
        message = {"role": "assistant", "content": answer}
        return web.json_response(
            {
                "id": "1",
                "object": "chat.completion",
                "created": 0,
                "model": body["model"],
                "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
                "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
            }
        )

    async def stats(self, request: web.Request) -> web.Response:
        answer = self.llm.stats()
        if "reset" in request.query:
            self.llm.reset()
        return web.json_response(answer)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("world")
    parser.add_argument("scenario")
    parser.add_argument("seed", type=int)
    parser.add_argument("limit", type=int)
    arguments = parser.parse_args()
    sys.path.insert(0, arguments.world)
    from simllm import SimConf, SimLLM
    from world import World, scenario

    world = World(arguments.seed, scenario(arguments.scenario))
    conf = SimConf(limit=arguments.limit, task_ms=200, judge_ms=200, reflect_ms=1600)
    llm = SimLLM(world, conf, loop=asyncio.get_running_loop())
    server = WorldServer(llm, world)
    app = web.Application()
    app.router.add_post("/v1/chat/completions", server.chat)
    app.router.add_get("/stats", server.stats)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
