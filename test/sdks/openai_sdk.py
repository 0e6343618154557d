"""Drives OpenAI's SDK for Python; surfaces: v1, v1-slash, azure (the class AzureOpenAI), azure-v1."""

import time

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
        headers = command.get("headers", {})
        with client.chat.completions.create(**body, **extras, stream=True, extra_headers=headers) as stream:
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
    if call == "background":
        answer = client.responses.create(**body, **extras, background=True)
        while answer.status in ("queued", "in_progress"):
            time.sleep(0.05)
            answer = client.responses.retrieve(answer.id)
        return {"status": answer.status, "text": answer.output_text}
    if call == "resume":
        text, answer_id, last = "", "", -1
        with client.responses.create(**body, **extras, background=True, stream=True) as stream:
            for event in stream:
                if event.type == "response.created":
                    answer_id = event.response.id
                if event.type == "response.output_text.delta":
                    text += event.delta
                last = event.sequence_number
                if text != "":
                    break
        rest = client.responses.retrieve(answer_id, stream=True, starting_after=last)
        text += "".join(event.delta for event in rest if event.type == "response.output_text.delta")
        with client.responses.stream(response_id=answer_id) as stream:
            whole = stream.get_final_response()
        return {"text": text, "status": whole.status, "whole": whole.output_text}
    if call == "cancel":
        answer = client.responses.create(**body, **extras, background=True)
        return {"status": client.responses.cancel(answer.id).status}
    if call == "delete":
        answer = client.responses.create(**body, **extras, store=True)
        client.responses.delete(answer.id)
        return {"text": client.responses.retrieve(answer.id).output_text}
    if call == "follow":
        following = body.pop("next")
        first = client.responses.create(**body, **extras, store=True)
        asked = client.responses.input_items.list(first.id).data[0].content[0].text
        body["input"] = following
        answer = client.responses.create(**body, **extras, previous_response_id=first.id)
        return {"text": answer.output_text, "whole": asked}
    raise NotImplementedError(call)


def describe(error):
    return {
        "class": type(error).__name__,
        "status": getattr(error, "status_code", None),
        "code": getattr(error, "code", None),
        "message": getattr(error, "message", str(error)),
    }


serve(perform, describe)
