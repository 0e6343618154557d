"""Drives Azure's inference SDK for Python; surfaces: host, and models for the unified base URL."""

from azure.ai.inference import ChatCompletionsClient, load_client
from azure.core.credentials import AzureKeyCredential
from azure.core.exceptions import HttpResponseError
from serve import serve

BASES = {"host": "", "models": "/models"}


def perform(command):
    call, body = command["call"], command["body"]
    endpoint, key = command["url"] + BASES[command["surface"]], AzureKeyCredential(command["key"])
    options = {"retry_total": command["retries"]} if "retries" in command else {}
    extras = {"model_extras": command["extras"]} if "extras" in command else {}
    extras["headers"] = command.get("headers", {})
    if call == "info":
        client = load_client(endpoint, key, **options)
        info = client.get_model_info()
        return {"model": info.model_name, "type": info.model_type, "client": type(client).__name__}
    client = ChatCompletionsClient(endpoint, key, **options)
    if call == "chat":
        answer = client.complete(**body, **extras)
        choice = answer.choices[0]
        return {
            "model": answer.model,
            "text": choice.message.content,
            "finish": choice.finish_reason,
            "tokens": answer.usage.total_tokens,
        }
    if call in ("stream", "leave"):
        text = ""
        with client.complete(**body, **extras, stream=True) as stream:
            for update in stream:
                text += (update.choices[0].delta.content or "") if update.choices else ""
                if call == "leave" and text != "":
                    break
        return {"text": text}
    raise NotImplementedError(call)


def describe(error):
    described = {"class": type(error).__name__, "status": None, "code": None, "message": str(error)}
    if isinstance(error, HttpResponseError) and error.response is not None:
        described["status"] = error.status_code
        described["header"] = error.response.headers.get("x-ms-error-code")
        if error.error is not None:
            details = error.error.details
            described["code"] = error.error.code
            described["sentence"] = error.error.message
            described["details"] = None if details is None else [str(detail) for detail in details]
    return described


serve(perform, describe)
