"""Drives OpenAI's SDK for Python; surfaces: v1, v1-slash, azure (the class AzureOpenAI), azure-v1."""

import openai
from serve import serve

BASES = {"v1": "/v1", "v1-slash": "/v1/", "azure-v1": "/openai/v1"}


def client_for(command):
    options = {"api_key": command["key"]}
    if "retries" in command:
        options["max_retries"] = command["retries"]
    base = BASES.get(command["surface"])
    if base is None:
        return openai.AzureOpenAI(azure_endpoint=command["url"], api_version="2024-10-21", **options)
    return openai.OpenAI(base_url=command["url"] + base, **options)


def perform(command):
    client, call, body = client_for(command), command["call"], command["body"]
    extras = {"extra_body": command["extras"]} if "extras" in command else {}
    if call == "chat":
        answer = client.chat.completions.create(**body, **extras)
        choice = answer.choices[0]
        return {
            "model": answer.model,
            "text": choice.message.content,
            "finish": choice.finish_reason,
            "tokens": answer.usage.total_tokens,
        }
    if call in ("stream", "leave"):
        text = ""
        with client.chat.completions.create(**body, **extras, stream=True) as stream:
            for chunk in stream:
                text += (chunk.choices[0].delta.content or "") if chunk.choices else ""
                if call == "leave" and text != "":
                    break
        return {"text": text}
    if call == "completion":
        answer = client.completions.create(**body)
        return {"model": answer.model, "text": answer.choices[0].text}
    if call == "completionStream":
        stream = client.completions.create(**body, stream=True)
        return {"text": "".join(chunk.choices[0].text for chunk in stream if chunk.choices)}
    if call == "models":
        return {"ids": [model.id for model in client.models.list()]}
    if call == "model":
        return {"model": client.models.retrieve(body["model"]).id}
    if call == "response":
        answer = client.responses.create(**body)
        return {"model": answer.model, "text": answer.output_text}
    if call == "responseStream":
        stream = client.responses.create(**body, stream=True)
        return {"text": "".join(event.delta for event in stream if event.type == "response.output_text.delta")}
    raise NotImplementedError(call)


def describe(error):
    return {
        "class": type(error).__name__,
        "status": getattr(error, "status_code", None),
        "code": getattr(error, "code", None),
        "message": getattr(error, "message", str(error)),
    }


serve(perform, describe)
