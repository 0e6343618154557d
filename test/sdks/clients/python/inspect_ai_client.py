"""Inspect AI: a task of our own for each case, asked of its providers for OpenAI, Azure OpenAI and what is like OpenAI."""

import asyncio
import json
import os
import re
import tempfile
from importlib.metadata import version

os.environ.update(INSPECT_DISPLAY="none", INSPECT_LOG_LEVEL="error")

from cases import leaving, run_cases, served
from inspect_ai import Task, eval_async
from inspect_ai.dataset import Sample
from inspect_ai.model import ChatMessageUser, ContentImage, ContentText, GenerateConfig, ResponseSchema, get_model
from inspect_ai.scorer import includes
from inspect_ai.solver import chain, generate, use_tools, user_message
from inspect_ai.tool import tool
from inspect_ai.util import json_schema
from pydantic import BaseModel

LOGS = tempfile.mkdtemp(prefix="inspect-ai-")


class Answer(BaseModel):
    colour: str


@tool
def weather():
    async def execute():
        """The weather."""

    return execute


class NotDone(Exception):
    """A task that ended in an error."""


def provider(prefix, path, stream, **more):
    """`stream`: the argument by which this provider streams; by itself it does so only where something shows progress."""

    def make(url=served.url, key=served.key, model=served.model, streams=False):
        name = f"{prefix}/{model}"
        return get_model(name, base_url=url + path, api_key=key, memoize=False, **{stream: streams}, **more)

    return make


# For an unknown model the first one requests a response.
PROVIDERS = {
    "openai": provider("openai", "/v1", "streaming"),
    "openai/azure, Responses": provider("openai/azure", "", "streaming", responses_api=True),
    "openai-api": provider("openai-api/penstock", "/v1", "stream"),
    "openai-api, Responses": provider("openai-api/penstock", "/v1", "stream", responses_api=True),
}


async def evaluate(samples, model, solver=None, **config):
    """Each sample's output."""
    config = GenerateConfig(**{"temperature": 0, "max_tokens": served.maxTokens, "max_retries": 1, **config})
    task = Task(dataset=samples, solver=solver or generate(), scorer=includes(), config=config)
    [log] = await eval_async(task, model=model, log_dir=LOGS, log_format="json")
    if log.status != "success":
        raise NotDone(log.error.message if log.error else log.status)
    if any(sample.scores["includes"].value != "C" for sample in log.samples):
        raise NotDone("not every answer has what its question asks for")
    return [sample.output for sample in log.samples]


def told(output):
    """It takes what was cached out of the input."""
    usage = output.usage
    return {
        "text": output.completion,
        "inputTokens": usage.input_tokens + (usage.input_tokens_cache_read or 0),
        "outputTokens": usage.output_tokens,
    }


def describe(error):
    """A task has only the text of an error, and not always its class or its status."""
    text = str(error).replace("\\n", " ")
    kinds = re.findall(r"\w+Error(?=[(>])", text)
    status = re.search(r"Error code: (\d+)", text)
    return {"class": kinds[-1] if kinds else None, "status": status and int(status[1]), "message": text}


def picture(*urls):
    images = [ContentImage(image=url) for url in urls]
    asked = ChatMessageUser(content=[ContentText(text=served.questions["picture"]), *images])
    return Sample(input=[asked], target="64 x 48")


FIRST = Sample(input=served.questions["first"], target="sky")
OTHER = Sample(input="Which animal barks, and at whom?", target="barks")
SECOND = user_message(served.questions["second"])


def cases_of(make):
    async def text(*samples, model=None, **more):
        return told((await evaluate(samples or (FIRST,), model or make(), **more))[0])

    async def structured():
        schema = ResponseSchema(name="answer", json_schema=json_schema(Answer), strict=True)
        [output] = await evaluate([Sample(input=FIRST.input, target="quiet")], make(), response_schema=schema)
        return {"json": json.loads(output.completion)}

    def two_turns(streams):
        turns = chain(generate(), SECOND, generate())
        return text(Sample(input=FIRST.input, target="night"), model=make(streams=streams), solver=turns)

    def leave(streams):
        slow = make(model=served.slowModel, streams=streams)
        return leaving(lambda _: text(model=slow, max_tokens=None), False)

    return {
        "text": lambda: text(FIRST, OTHER, picture(served.png)),
        "stream": lambda: text(model=make(streams=True)),
        "picture data": lambda: text(picture(served.png)),
        "picture address": lambda: text(picture(served.picture)),
        "two turns": lambda: two_turns(False),
        "two turns streamed": lambda: two_turns(True),
        "json": structured,
        "tools": lambda: text(solver=chain(use_tools(weather()), generate())),
        "error 400": lambda: text(picture(served.png, served.png)),
        "error 401": lambda: text(model=make(key="wrong")),
        "error 503": lambda: text(model=make(**served.crowded)),
        "leave": lambda: leave(False),
        "leave a stream": lambda: leave(True),
    }


async def main():
    for name, make in PROVIDERS.items():
        await run_cases(f"Inspect AI {name}", f"inspect-ai {version('inspect-ai')}", cases_of(make), describe)


asyncio.run(main())
