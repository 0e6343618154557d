"""LlamaIndex's classes for OpenAI, for what is like it, and for Azure OpenAI."""

import asyncio
from importlib.metadata import version

from cases import describe_status, leaving, run_cases, served
from llama_index.core.llms import ChatMessage, ImageBlock, TextBlock
from llama_index.core.prompts import PromptTemplate
from llama_index.core.tools import FunctionTool
from llama_index.llms.azure_openai import AzureOpenAI, AzureOpenAIResponses
from llama_index.llms.openai import OpenAI, OpenAIResponses
from llama_index.llms.openai_like import OpenAILike, OpenAILikeResponses
from pydantic import BaseModel, ConfigDict


class Answer(BaseModel):
    model_config = ConfigDict(extra="forbid")
    colour: str


def weather():
    """The weather."""


# Otherwise it sends twelve requests, because its retries multiply with those of OpenAI's SDK below it.
RETRIES = 1

# Three of the classes accept only OpenAI's names. Azure's classes send the deployment instead; for OpenAI's own,
# the sent name can be set separately.
KNOWN = "gpt-4o"


def options(url=served.url, key=served.key, model=served.model):
    return {"api_base": f"{url}/v1", "api_key": key, "model": model, "temperature": 0, "max_retries": RETRIES}


def openai(model=served.model, **where):
    return OpenAI(**{**options(**where), "model": KNOWN}, additional_kwargs={"model": model})


def openai_like(**where):
    flags = {"is_chat_model": True, "is_function_calling_model": True, "should_use_structured_outputs": True}
    return OpenAILike(**options(**where), **flags)


def openai_like_responses(**where):
    return OpenAILikeResponses(**options(**where), is_function_calling_model=True, should_use_structured_outputs=True)


def azure(kind, api_version):
    def make(url=served.url, key=served.key, model=served.model):
        where = {"azure_endpoint": url, "api_key": key, "engine": model, "api_version": api_version}
        return kind(model=KNOWN, temperature=0, max_retries=RETRIES, **where)

    return make


# Each with the argument that limits an answer.
CLASSES = {
    "OpenAI": (openai, "max_tokens"),
    "OpenAILike": (openai_like, "max_tokens"),
    "AzureOpenAI": (azure(AzureOpenAI, "2024-10-21"), "max_tokens"),
    "OpenAIResponses": (lambda **where: OpenAIResponses(**options(**where), context_window=8192), "max_output_tokens"),
    "OpenAILikeResponses": (openai_like_responses, "max_output_tokens"),
    "AzureOpenAIResponses": (azure(AzureOpenAIResponses, "2025-03-01-preview"), "max_output_tokens"),
}


def told(response):
    """Both shapes of usage; the closing event of a stream of Responses holds its response."""
    usage = getattr(getattr(response.raw, "response", response.raw), "usage", None)
    first = lambda *names: next((getattr(usage, name) for name in names if hasattr(usage, name)), None)
    return {
        "text": response.message.content,
        "inputTokens": first("input_tokens", "prompt_tokens"),
        "outputTokens": first("output_tokens", "completion_tokens"),
    }


def user(text, *blocks):
    return ChatMessage(role="user", blocks=[*blocks, TextBlock(text=text)])


FIRST = [user(served.questions["first"])]
SECOND = user(served.questions["second"])


def cases_of(make, limit, streams_usage):
    llm, short = make(), {limit: served.maxTokens}
    usage = {"stream_options": {"include_usage": True}} if streams_usage else {}

    async def answered(messages, llm=llm, **more):
        return await llm.achat(messages, **short, **more)

    async def text(messages=FIRST, **more):
        return told(await answered(messages, **more))

    async def streamed(messages, llm=llm):
        last = None
        async for last in await llm.astream_chat(messages, **short, **usage):
            pass
        return last

    async def stream(llm=llm):
        return told(await streamed(FIRST, llm))

    async def two_turns():
        return await text([*FIRST, (await answered(FIRST)).message, SECOND])

    async def two_turns_streamed():
        return told(await streamed([*FIRST, (await streamed(FIRST)).message, SECOND]))

    async def structured():
        # A copy, because it writes the form of the answer into its argument.
        answer = await llm.astructured_predict(Answer, PromptTemplate(served.questions["first"]), llm_kwargs={**short})
        return {"json": answer.model_dump()}

    async def tools():
        tool = FunctionTool.from_defaults(weather)
        return told(await llm.achat_with_tools([tool], chat_history=FIRST, **short))

    async def read(something):
        async for chunk in await make(model=served.slowModel).astream_chat(FIRST):
            if chunk.delta:
                something()

    picture = served.questions["picture"]
    data, address = ImageBlock(url=served.png), ImageBlock(url=served.picture)
    return {
        "text": text,
        "stream": stream,
        "picture data": lambda: text([user(picture, data)]),
        "picture address": lambda: text([user(picture, address)]),
        "two turns": two_turns,
        "two turns streamed": two_turns_streamed,
        "json": structured,
        "tools": tools,
        "error 400": lambda: text([user(picture, data, data)]),
        "error 401": lambda: text(llm=make(key="wrong")),
        "error 429": lambda: text(llm=make(**served.full)),
        "error 503": lambda: text(llm=make(**served.crowded)),
        "leave": lambda: leaving(lambda _: make(model=served.slowModel).achat(FIRST), False),
        "leave a stream": lambda: leaving(read, True),
        "broken stream": lambda: stream(make(model=served.brokenModel)),
    }


async def main():
    packages = {"OpenAILike": "openai-like", "Azure": "azure-openai", "OpenAI": "openai"}
    for name, (make, limit) in CLASSES.items():
        package = next(f"llama-index-llms-{of}" for start, of in packages.items() if name.startswith(start))
        cases = cases_of(make, limit, not name.endswith("Responses"))
        await run_cases(f"LlamaIndex {name}", f"{package} {version(package)}", cases, describe_status)


asyncio.run(main())
