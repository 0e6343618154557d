"""AIPerf over a file of conversations of ours, with a tokenizer that knows bytes only: nothing comes from a hub."""

import asyncio
import json
import os
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

from cases import run_cases, served
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

TOKENIZER = "penstock/bytes"
# The field that limits an answer, by kind of endpoint.
ENDPOINTS = {"chat": "max_tokens", "completions": "max_tokens", "responses": "max_output_tokens"}
# Without its own 'builtin' tokenizer, which it would download.
OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}


def save_tokenizer(home):
    """As if it had been downloaded: while it is offline AIPerf takes no path of a folder."""
    byte_letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={letter: index for index, letter in enumerate(byte_letters)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    kept, revision = Path(home, "hub/models--penstock--bytes"), "0" * 40
    snapshot = kept / "snapshots" / revision
    snapshot.mkdir(parents=True)
    (kept / "refs").mkdir()
    (kept / "refs/main").write_text(revision)
    tokenizer.save(str(snapshot / "tokenizer.json"))
    (snapshot / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast"}))


class Failed(Exception):
    """The program's last words."""


async def profile(endpoint, folder, turns, stream=False, url=served.url, key=served.key, model=served.model):
    """How many requests were answered, and the text and usage of the last one."""
    out = tempfile.mkdtemp(dir=folder)
    file = Path(out, "conversation.jsonl")
    file.write_text(json.dumps({"session_id": "one", "turns": turns}))
    program = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "aiperf", "profile", "--model", model, "--url", url, "--api-key", key),
        *("--endpoint-type", endpoint, "--tokenizer", TOKENIZER, "--ui", "none"),
        *("--input-file", str(file), "--custom-dataset-type", "multi_turn", "--concurrency", "1"),
        *("--num-conversations", "1", "--use-server-token-count", "--output-artifact-dir", out),
        *("--extra-inputs", json.dumps({"temperature": 0, ENDPOINTS[endpoint]: served.maxTokens})),
        *("--no-gpu-telemetry", "--no-server-metrics", "--export-level", "raw", *(["--streaming"] if stream else [])),
        cwd=out,
        env={**os.environ, **OFFLINE, "HF_HOME": folder},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        said, _ = await program.communicate()
    finally:
        if program.returncode is None:
            program.kill()
    found = list(Path(out).rglob("profile_export.jsonl"))
    if not found:
        raise Failed(said.decode())
    records = [json.loads(line) for line in found[0].read_text().splitlines()]
    errors = [record["error"] for record in records if record.get("error")]
    if errors:
        return {"error": {"class": errors[0]["type"], "status": errors[0]["code"], "message": errors[0]["message"]}}
    metrics = records[-1]["metrics"]
    return {
        "answers": len(records),
        "inputTokens": metrics["usage_prompt_tokens"]["value"],
        "outputTokens": metrics["usage_completion_tokens"]["value"],
    }


def describe(error):
    return {"class": type(error).__name__, "status": None, "message": str(error)[-2000:]}


FIRST = {"text": served.questions["first"]}
SECOND = {"text": served.questions["second"]}
PICTURE = {"text": served.questions["picture"], "image": served.png}


def cases_of(endpoint, folder):
    stream = {"stream": lambda: profile(endpoint, folder, [FIRST], stream=True)}
    if endpoint != "chat":
        return stream
    return {
        **stream,
        "text": lambda: profile(endpoint, folder, [FIRST]),
        "picture data": lambda: profile(endpoint, folder, [PICTURE]),
        "two turns": lambda: profile(endpoint, folder, [FIRST, SECOND]),
        "two turns streamed": lambda: profile(endpoint, folder, [FIRST, SECOND], stream=True),
        "error 401": lambda: profile(endpoint, folder, [FIRST], key="wrong"),
    }


async def main():
    with tempfile.TemporaryDirectory(prefix="aiperf-") as folder:
        save_tokenizer(folder)
        for endpoint in ENDPOINTS:
            await run_cases(f"AIPerf {endpoint}", f"aiperf {version('aiperf')}", cases_of(endpoint, folder), describe)


asyncio.run(main())
