"""Runs the cases of one client and prints a line of JSON for each; as ../cases.mjs does it for Node."""

import asyncio
import json
import logging
import os
import sys
import time
import urllib.request
import warnings
from types import SimpleNamespace

# The servers for a client; `client-stack.ts` explains each member.
served = SimpleNamespace(**json.loads(os.environ["PENSTOCK_SDKS_SERVED"]))

# A client's own output is dropped, so that every line is an outcome.
OUTCOMES, sys.stdout = sys.stdout, open(os.devnull, "w")

# Some log each retry, or warn about their own types.
warnings.simplefilter("ignore")
logging.basicConfig(level=logging.ERROR)

# Longer than any case on a busy machine, with the client's own pauses between retries.
LIMIT_S = 120
LEFT_WITHIN_S = 15


def print_outcome(client, version, case, outcome):
    print(json.dumps({"client": client, "version": version, "case": case, "outcome": outcome}), file=OUTCOMES, flush=True)


async def run_cases(client, version, cases, describe):
    """`cases`: by name, as `clients.ts` lists them, functions without arguments that await an outcome;
    `describe`: what a caller sees of an exception."""
    for case, run in cases.items():
        try:
            outcome = await asyncio.wait_for(run(), LIMIT_S)
        except Exception as error:  # whatever a client raises is what is asked for
            outcome = {"error": describe(error)}
        print_outcome(client, version, case, outcome)


def describe_status(error):
    """An exception with OpenAI's members."""
    return {
        "class": type(error).__name__,
        "status": getattr(error, "status_code", None),
        "code": getattr(error, "code", None),
        "message": str(error),
    }


async def leaving(ask, is_stream):
    """Cancels what awaits the slow model, and waits until its engine is free. An answer of its own would take longer.
    `ask` calls what it is given at the first text of a stream."""
    something = asyncio.Event()
    asked = asyncio.ensure_future(ask(something.set))
    if is_stream:
        await something.wait()
    await _until_busy(lambda count: count > 0)
    asked.cancel()
    [seen] = await asyncio.gather(asked, return_exceptions=True)
    await _until_busy(lambda count: count == 0)
    return {"error": {"class": type(seen).__name__}, "left": True}


async def _until_busy(is_so):
    """`is_so` of the number of requests that the slow model's engines have."""
    until = time.monotonic() + LEFT_WITHIN_S
    while True:
        with urllib.request.urlopen(served.status) as answer:
            workers = json.load(answer)["workers"]
        engines = [engine for worker in workers for engine in worker["engines"]]
        count = sum(engine["inFlight"]["text"] for engine in engines if engine["model"] == served.slowModel)
        if is_so(count):
            return
        if time.monotonic() > until:
            raise TimeoutError(f"the slow model's engine has {count} requests")
        await asyncio.sleep(0.1)
