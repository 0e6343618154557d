"""What Pillow says of pictures, and what vLLM 0.33 makes of them (its vllm/multimodal/media/image.py).

Reads names of files, one per line; writes a line of JSON for each: `pillow` has type, width and height, or what it refused
and why; `engine` is there where vLLM serves what Pillow refused. vLLM turns a picture before it loads it, and drops what
fails in that; Pillow reports a damaged picture at the first load alone, so that vLLM serves what there is of it.
"""

import contextlib
import json
import sys
import warnings
from io import BytesIO

from PIL import Image, ImageOps

Verdict = dict[str, object]
FORMATS = ("GIF", "JPEG", "PNG", "WEBP")
LIMIT_PIXELS = int(sys.argv[1])


def loaded(data: bytes, strictly: bool) -> Verdict:
    picture = Image.open(BytesIO(data), formats=FORMATS)
    width, height = picture.size
    if width * height > LIMIT_PIXELS:
        return {"refused": f"{width * height} pixels"}
    form = "jpeg" if picture.format == "MPO" else str(picture.format).lower()
    if strictly:
        picture.load()
    with contextlib.suppress(Exception):
        picture = ImageOps.exif_transpose(picture)
    picture.load()
    picture.convert("RGBA" if "transparency" in picture.info else "RGB")
    return {"type": form, "width": picture.width, "height": picture.height}


def verdict(data: bytes, strictly: bool) -> Verdict:
    try:
        return loaded(data, strictly)
    except Exception as problem:
        return {"refused": f"{type(problem).__name__}: {problem}"[:120]}


def main() -> None:
    warnings.simplefilter("ignore")
    for line in sys.stdin:
        with open(line.rstrip("\n"), "rb") as file:
            data = file.read()
        found = {"pillow": verdict(data, strictly=True)}
        if "refused" in found["pillow"]:
            engine = verdict(data, strictly=False)
            if "refused" not in engine:
                found["engine"] = engine
        print(json.dumps(found), flush=True)


main()
