"""Makes the corpus: `make.py FOLDER [--short]` writes the pictures and prints their names, one per line."""

import functools
import pathlib
import random
import sys
from collections.abc import Iterator

import bases
import gif_parts
import jpeg_parts
import metadata
import png_parts
import webp_parts

File = tuple[str, bytes]
CUTS = 40
FLIPS = 40


def groups() -> Iterator[tuple[str, Iterator[File]]]:
    for form in ("jpeg", "png", "webp", "gif"):
        yield f"written/{form}", getattr(bases, form)()
    yield "metadata", metadata.files()
    for form, parts in {"jpeg": jpeg_parts, "png": png_parts, "webp": webp_parts, "gif": gif_parts}.items():
        yield f"contradicts/{form}", parts.files()
    yield "cut", cuts()
    yield "behind-the-end", trailers()
    yield "flipped", flips()


@functools.cache
def bodies() -> dict[str, bytes]:
    """One of each kind that is built in another way."""
    wanted = {
        "jpeg": (
            "RGB-plain-75.jpg",
            "RGB-progressive-75.jpg",
            "restart_marker_rows.jpg",
            "many-pictures.jpg",
            "lossless-1.jpg",
        ),
        "png": ("RGB-level-9.png", "P-level-1.png", "vips-interlaced.png", "texts.png", "animation-2.png"),
        "webp": ("RGB-lossy.webp", "RGBA-lossless.webp", "RGBA-lossy.webp", "profile.webp", "animation-RGB-lossy.webp"),
        "gif": ("P-interlace-0.gif", "comment.gif", "animation-loop.gif", "vips-interlaced.gif"),
    }
    found: dict[str, bytes] = {}
    for form, names in wanted.items():
        files = dict(getattr(bases, form)())
        found |= {name: files[name] for name in names}
    return found


def cuts() -> Iterator[File]:
    for name, data in bodies().items():
        places = {len(data) * step // CUTS for step in range(CUTS)} | {
            len(data) - less for less in (1, 2, 3, 4, 5, 8, 11, 12, 13, 16)
        }
        for place in sorted(places):
            yield f"{place:06}-of-{len(data)}-{name}", data[:place]


def trailers() -> Iterator[File]:
    film = b"\0\0\0\x18ftypmp42" + bytes(300_000)
    for name, data in bodies().items():
        for what, more in {
            "zeros": bytes(5_001),
            "film": film,
            "itself": data,
            "a-zip": b"PK\3\4" + b"z" * 999,
            "a-byte": b"\xff",
        }.items():
            yield f"{what}-{name}", data + more


def flips() -> Iterator[File]:
    """One bit wrong in the first 200 bytes."""
    for name, data in bodies().items():
        for at in random.Random(name).sample(range(8 * min(len(data), 200)), FLIPS):
            place, bit = divmod(at, 8)
            damaged = bytearray(data)
            damaged[place] ^= 1 << bit
            yield f"{place:03}-{bit}-{name}", bytes(damaged)


def main(folder: pathlib.Path, every: int) -> None:
    names: set[str] = set()
    for group, files in groups():
        for index, (name, data) in enumerate(files):
            # Named files are always included; of the many that differ only in one place, a sample.
            if group in ("cut", "flipped", "behind-the-end") and index % every != 0:
                continue
            path = folder / group / name
            if path in names:
                raise ValueError(f"two files of the name {path}")
            names.add(path)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            print(path)


main(pathlib.Path(sys.argv[1]), 7 if "--short" in sys.argv else 1)
