"""Calls through OpenAI's or Azure's SDK for Python as it comes, with its own retries.

Argument: the order as JSON, as for node-sdk.mjs; prints the outcome as one line.
"""

import asyncio
import json
import os
import random
import sys
import time

LONGEST = 20


def openai_client(order, url):
    from openai import AsyncOpenAI

    client = AsyncOpenAI(base_url=url + "/v1", api_key=order["key"])

    async def call(body):
        await client.chat.completions.create(**body, model=order["model"], extra_body={"ignore_eos": True})

    return call


def azure_client(order, url):
    from azure.ai.inference.aio import ChatCompletionsClient
    from azure.core.credentials import AzureKeyCredential

    client = ChatCompletionsClient(url, AzureKeyCredential(order["key"]))

    async def call(body):
        await client.complete(**body, model_extras={"ignore_eos": True})

    return call


SDKS = {"openai": openai_client, "azure": azure_client}


async def main():
    order = json.loads(sys.argv[1])
    clients = [SDKS[order["sdk"]](order, url) for url in order["urls"]]
    draw = random.Random(order["seed"])
    lengths, errors, late, running = [], {}, [], []
    succeeded = 0

    async def call(n):
        nonlocal succeeded
        if not lengths:
            lengths.extend(draw.sample(range(1, LONGEST + 1), LONGEST))
        content = f"question {n} of {order['name']}"
        body = {"messages": [{"role": "user", "content": content}], "max_tokens": lengths.pop()}
        try:
            await clients[n % len(clients)](body)
            succeeded += 1
        except Exception as error:
            name = f"{type(error).__name__} {error}"[:90]
            errors[name] = errors.get(name, 0) + 1

    started = time.monotonic()
    for n in range(round(order["perSecond"] * order["seconds"])):
        at = started + (n + draw.random()) / order["perSecond"]
        await asyncio.sleep(max(0, at - time.monotonic()))
        late.append(time.monotonic() - at)
        running.append(asyncio.create_task(call(n)))
    await asyncio.gather(*running)
    late.sort()
    late_ms = late[int(len(late) * 0.99)] * 1_000 if late else 0
    print(json.dumps({"calls": len(running), "succeeded": succeeded, "errors": errors, "lateMs": late_ms}), flush=True)
    # Without a word of its libraries about open connections: the outcome is the last line.
    os._exit(0)


asyncio.run(main())
