"""One call is a line of JSON on standard input, its answer a line on standard output; as serve.mjs does it."""

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Lock


def serve(perform, describe):
    lock = Lock()

    def answer(command):
        try:
            answered = perform(command)
        except Exception as error:  # whatever an SDK raises is what is asked for
            answered = {"error": describe(error)}
        with lock:
            print(json.dumps({"id": command["id"], **answered}), flush=True)

    with ThreadPoolExecutor(8) as pool:
        for line in sys.stdin:
            pool.submit(answer, json.loads(line))
