"""LiteLLM as a library: chats and Responses through its providers for OpenAI, Azure OpenAI, Azure AI and Anthropic."""

import asyncio
import json
import os
from importlib.metadata import version

# Otherwise it would download its price table from the internet.
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"

import litellm
from cases import describe_status, leaving, run_cases, served

litellm.telemetry = False
litellm.suppress_debug_info = True
# It reads a Responses stream of an unknown model to the end before its caller gets a part of it.
litellm.register_model(
    {
        provider + model: {"litellm_provider": provider.strip("/"), "mode": "chat", "supports_native_streaming": True}
        for provider in ("openai/", "azure/")
        for model in (served.model, served.slowModel, served.brokenModel)
    }
)

SCHEMA = {
    "type": "object",
    "properties": {"colour": {"type": "string"}},
    "required": ["colour"],
    "additionalProperties": False,
}
FUNCTION = {"name": "weather", "description": "", "parameters": {"type": "object"}}

# By provider: the path after the gateway's address, and further arguments.
PROVIDERS = {
    "openai/": ("/v1", {}),
    "azure/": ("", {"api_version": "2024-10-21"}),
    "azure_ai/": ("", {}),
    # For an unknown model it would request more than the card allows.
    "anthropic/": ("", {"max_tokens": 1000}),
}


def arguments(provider, url=served.url, key=served.key, model=served.model, **more):
    path, own = PROVIDERS[provider]
    # All use the library's own two retries.
    return {
        "model": provider + model,
        "api_base": url + path,
        "api_key": key,
        "temperature": 0,
        "num_retries": 2,
        **own,
        **more,
    }


class Chat:
    def __init__(self, provider):
        self.where = lambda **more: arguments(provider, **more)

    async def ask(self, messages, **more):
        return await litellm.acompletion(messages=messages, **self.where(max_tokens=served.maxTokens, **more))

    async def stream(self, messages, something=lambda: None, **more):
        options = {"stream": True, "stream_options": {"include_usage": True}}
        chunks = []
        async for chunk in await litellm.acompletion(messages=messages, **self.where(**options, **more)):
            chunks.append(chunk)
            if chunk.choices and chunk.choices[0].delta.content:
                something()
        return litellm.stream_chunk_builder(chunks)

    async def streamed(self, messages):
        return await self.stream(messages, max_tokens=served.maxTokens)

    async def leave(self, messages):
        return await litellm.acompletion(messages=messages, **self.where(model=served.slowModel))

    @staticmethod
    def told(answer):
        return {
            "text": answer.choices[0].message.content,
            "inputTokens": answer.usage.prompt_tokens,
            "outputTokens": answer.usage.completion_tokens,
        }

    @staticmethod
    def said(answer):
        return [answer.choices[0].message]

    @staticmethod
    def picture(text, *urls):
        pictures = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
        return [{"role": "user", "content": [{"type": "text", "text": text}, *pictures]}]

    form = {
        "response_format": {"type": "json_schema", "json_schema": {"name": "answer", "strict": True, "schema": SCHEMA}}
    }
    tool = {"type": "function", "function": FUNCTION}


class Responses:
    def __init__(self, provider):
        self.where = lambda **more: arguments(provider, **more)

    async def ask(self, messages, **more):
        return await litellm.aresponses(input=messages, **self.where(max_output_tokens=served.maxTokens, **more))

    async def stream(self, messages, something=lambda: None, **more):
        async for event in await litellm.aresponses(input=messages, stream=True, **self.where(**more)):
            if event.type == "response.output_text.delta":
                something()
            if event.type in ("response.completed", "response.incomplete"):
                return event.response
        raise RuntimeError("the stream ended without its closing event")

    async def streamed(self, messages):
        return await self.stream(messages, max_output_tokens=served.maxTokens)

    async def leave(self, messages):
        return await litellm.aresponses(input=messages, **self.where(model=served.slowModel))

    @staticmethod
    def told(answer):
        return {
            "text": answer.output[0].content[0].text,
            "inputTokens": answer.usage.input_tokens,
            "outputTokens": answer.usage.output_tokens,
        }

    @staticmethod
    def said(answer):
        return [item.model_dump(exclude_none=True) for item in answer.output]

    @staticmethod
    def picture(text, *urls):
        pictures = [{"type": "input_image", "image_url": url} for url in urls]
        return [{"role": "user", "content": [{"type": "input_text", "text": text}, *pictures]}]

    form = {"text": {"format": {"type": "json_schema", "name": "answer", "strict": True, "schema": SCHEMA}}}
    tool = {"type": "function", **FUNCTION}


FIRST = [{"role": "user", "content": served.questions["first"]}]
SECOND = {"role": "user", "content": served.questions["second"]}


def cases_of(route):
    picture = served.questions["picture"]

    async def text(messages=FIRST, **more):
        return route.told(await route.ask(messages, **more))

    async def stream():
        return route.told(await route.streamed(FIRST))

    async def two_turns():
        return await text([*FIRST, *route.said(await route.ask(FIRST)), SECOND])

    async def two_turns_streamed():
        said = route.said(await route.streamed(FIRST))
        return route.told(await route.streamed([*FIRST, *said, SECOND]))

    async def broken():
        return route.told(await route.stream(FIRST, model=served.brokenModel))

    async def structured():
        return {"json": json.loads(route.told(await route.ask(FIRST, **route.form))["text"])}

    return {
        "text": text,
        "stream": stream,
        "picture data": lambda: text(route.picture(picture, served.png)),
        "picture address": lambda: text(route.picture(picture, served.picture)),
        "two turns": two_turns,
        "two turns streamed": two_turns_streamed,
        "json": structured,
        "tools": lambda: text(tools=[route.tool]),
        "error 400": lambda: text(route.picture(picture, served.png, served.png)),
        "error 401": lambda: text(key="wrong"),
        "error 429": lambda: text(**served.full),
        "error 503": lambda: text(**served.crowded),
        "leave": lambda: leaving(lambda _: route.leave(FIRST), False),
        "leave a stream": lambda: leaving(
            lambda something: route.stream(FIRST, something, model=served.slowModel), True
        ),
        "broken stream": broken,
    }


async def main():
    for provider in PROVIDERS:
        for name, route in ((provider, Chat(provider)), (f"{provider}, Responses", Responses(provider))):
            # Otherwise it would convert Responses to messages itself.
            if provider == "anthropic/" and isinstance(route, Responses):
                continue
            await run_cases(f"LiteLLM {name}", f"litellm {version('litellm')}", cases_of(route), describe_status)


asyncio.run(main())
