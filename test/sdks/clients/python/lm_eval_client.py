"""lm-eval's own program over a task of three questions of ours, without anything from a hub."""

import asyncio
import json
import os
import re
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

from cases import run_cases, served

MODELS = {"local-chat-completions": "/v1/chat/completions", "local-completions": "/v1/completions"}
# A question, and a word that its answer must contain.
QUESTIONS = [(served.questions["first"], "sky"), ("Which animal barks, and at whom?", "barks"), ("And two?", "two")]
TASK = {
    "task": "questions",
    "dataset_path": "json",
    "test_split": "test",
    "output_type": "generate_until",
    "doc_to_text": "{{question}}",
    "doc_to_target": "{{word}}",
    "generation_kwargs": {"until": ["\n\n"], "max_gen_toks": served.maxTokens, "do_sample": False},
    "filter_list": [
        {
            "name": "word",
            "filter": [{"function": "regex", "regex_pattern": "(sky|barks|two)"}, {"function": "take_first"}],
        }
    ],
    "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
}
OFFLINE = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}


class Failed(Exception):
    """The program's last words."""


def describe(error):
    text = str(error)
    status = re.search(r"Status code: (\d+)|: (\d\d\d) [A-Z]|status=(\d+)|, (\d\d\d), message", text)
    return {
        "class": (re.findall(r"^([\w.]+(?:Error|Exception))\b", text, re.MULTILINE) or [None])[-1],
        "status": status and int(next(group for group in status.groups() if group)),
        "message": text[-2000:],
    }


async def evaluate(kind, folder, url=served.url, key=served.key, model=served.model):
    results = Path(tempfile.mkdtemp(dir=folder))
    where = {"model": model, "base_url": url + MODELS[kind], "tokenizer_backend": "None", "max_retries": "2"}
    arguments = ["--model", kind, "--model_args", ",".join(f"{name}={value}" for name, value in where.items())]
    if kind == "local-chat-completions":
        arguments.append("--apply_chat_template")
    program = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "lm_eval", "run", *arguments),
        *("--tasks", "questions", "--include_path", folder, "--output_path", str(results)),
        env={**os.environ, **OFFLINE, "OPENAI_API_KEY": key, "HF_HOME": f"{folder}/hub"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        said, _ = await program.communicate()
    finally:
        if program.returncode is None:
            program.kill()
    found = list(results.rglob("results_*.json"))
    if program.returncode != 0 or not found:
        raise Failed(said.decode())
    told = json.loads(found[0].read_text())
    return {
        "questions": told["n-samples"]["questions"]["effective"],
        "right": told["results"]["questions"]["exact_match,word"],
    }


def cases_of(kind, folder):
    return {
        "text": lambda: evaluate(kind, folder),
        "error 401": lambda: evaluate(kind, folder, key="wrong"),
        "error 503": lambda: evaluate(kind, folder, **served.crowded),
    }


async def main():
    with tempfile.TemporaryDirectory(prefix="lm-eval-") as folder:
        lines = [json.dumps({"question": question, "word": word}) for question, word in QUESTIONS]
        Path(folder, "questions.jsonl").write_text("\n".join(lines))
        files = {"data_files": {"test": f"{folder}/questions.jsonl"}}
        Path(folder, "questions.yaml").write_text(json.dumps({**TASK, "dataset_kwargs": files}))
        for kind in MODELS:
            await run_cases(f"lm-eval {kind}", f"lm-eval {version('lm-eval')}", cases_of(kind, folder), describe)


asyncio.run(main())
