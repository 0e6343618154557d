"""LangChain's classes for OpenAI and Azure OpenAI."""

import asyncio
from importlib.metadata import version

from cases import describe_status, leaving, run_cases, served
from langchain_core.messages import HumanMessage
from langchain_openai import AzureChatOpenAI, ChatOpenAI

SCHEMA = {
    "title": "answer",
    "type": "object",
    "properties": {"colour": {"type": "string"}},
    "required": ["colour"],
    "additionalProperties": False,
}
TOOL = {"type": "function", "function": {"name": "weather", "description": "", "parameters": {"type": "object"}}}


def openai(url=served.url, key=served.key, model=served.model, max_tokens=served.maxTokens, **more):
    return ChatOpenAI(
        base_url=f"{url}/v1", api_key=key, model=model, max_tokens=max_tokens, temperature=0, stream_usage=True, **more
    )


def azure(
    url=served.url,
    key=served.key,
    model=served.model,
    max_tokens=served.maxTokens,
    api_version="2024-10-21",
    **more,
):
    return AzureChatOpenAI(
        azure_endpoint=url,
        api_key=key,
        azure_deployment=model,
        api_version=api_version,
        max_tokens=max_tokens,
        temperature=0,
        **more,
    )


CLASSES = {
    "ChatOpenAI": openai,
    "ChatOpenAI, Responses": lambda **where: openai(use_responses_api=True, **where),
    "AzureChatOpenAI": azure,
    "AzureChatOpenAI, Responses": lambda **where: azure(
        use_responses_api=True, api_version="2025-03-01-preview", **where
    ),
}


def told(message):
    usage = message.usage_metadata or {}
    return {
        "text": message.text,
        "inputTokens": usage.get("input_tokens"),
        "outputTokens": usage.get("output_tokens"),
    }


def ask(text, *urls):
    pictures = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    return HumanMessage(content=[{"type": "text", "text": text}, *pictures])


async def streamed(chat, messages):
    """What came of a stream, joined as the library does it."""
    whole = None
    async for chunk in chat.astream(messages):
        whole = chunk if whole is None else whole + chunk
    return whole


FIRST = [HumanMessage(served.questions["first"])]
SECOND = HumanMessage(served.questions["second"])


def cases_of(make):
    chat, slow = make(), make(model=served.slowModel, max_tokens=None)

    async def text(chat=chat, messages=FIRST):
        return told(await chat.ainvoke(messages))

    async def stream(chat=chat):
        return told(await streamed(chat, FIRST))

    async def two_turns():
        return await text(messages=[*FIRST, await chat.ainvoke(FIRST), SECOND])

    async def two_turns_streamed():
        return told(await streamed(chat, [*FIRST, await streamed(chat, FIRST), SECOND]))

    async def structured():
        return {"json": await chat.with_structured_output(SCHEMA, method="json_schema").ainvoke(FIRST)}

    async def read(something):
        async for chunk in slow.astream(FIRST):
            if chunk.text:
                something()

    picture = served.questions["picture"]
    return {
        "text": text,
        "stream": stream,
        "picture data": lambda: text(messages=[ask(picture, served.png)]),
        "picture address": lambda: text(messages=[ask(picture, served.picture)]),
        "two turns": two_turns,
        "two turns streamed": two_turns_streamed,
        "json": structured,
        "tools": lambda: text(chat.bind_tools([TOOL])),
        "error 400": lambda: text(messages=[ask(picture, served.png, served.png)]),
        "error 401": lambda: text(make(key="wrong")),
        "error 429": lambda: text(make(**served.full)),
        "error 503": lambda: text(make(**served.crowded)),
        "leave": lambda: leaving(lambda _: slow.ainvoke(FIRST), False),
        "leave a stream": lambda: leaving(read, True),
        "broken stream": lambda: stream(make(model=served.brokenModel)),
    }


async def main():
    for name, make in CLASSES.items():
        described = f"langchain-openai {version('langchain-openai')}"
        await run_cases(f"LangChain (Python) {name}", described, cases_of(make), describe_status)


asyncio.run(main())
