"""GIFs whose parts contradict each other, or the specification."""

import struct
from collections.abc import Iterator

from bases import picture, saved

File = tuple[str, bytes]
TABLE = bytes(6)
CODE_SIZE = 2


def packed(pixels: int) -> bytes:
    """LZW of zeros, with a clear code before each two, so that codes stay three bits long."""
    codes: list[int] = []
    for at in range(pixels):
        codes += [4, 0] if at % 2 == 0 else [0]
    bits = sum(code << 3 * at for at, code in enumerate([*codes, 5]))
    data = bits.to_bytes((3 * (len(codes) + 1) + 7) // 8, "little")
    return b"".join(bytes([len(data[at : at + 255])]) + data[at : at + 255] for at in range(0, len(data), 255)) + b"\0"


def screen(width: int, height: int, flags: int = 0x80, version: bytes = b"GIF89a") -> bytes:
    return version + struct.pack("<HHBBB", width, height, flags, 0, 0) + (TABLE if flags & 0x80 else b"")


def frame(
    width: int,
    height: int,
    x: int = 0,
    y: int = 0,
    flags: int = 0,
    code_size: int = CODE_SIZE,
    data: bytes | None = None,
) -> bytes:
    table = bytes(3 << ((flags & 7) + 1)) if flags & 0x80 else b""
    return (
        b","
        + struct.pack("<HHHHB", x, y, width, height, flags)
        + table
        + bytes([code_size])
        + (packed(width * height) if data is None else data)
    )


def extension(label: int, *blocks: bytes, ended: bool = True) -> bytes:
    return b"!" + bytes([label]) + b"".join(bytes([len(block)]) + block for block in blocks) + (b"\0" if ended else b"")


def files() -> Iterator[File]:
    small = frame(20, 10)
    yield "bare.gif", screen(20, 10) + small + b";"
    yield "bare-87a.gif", screen(20, 10, version=b"GIF87a") + small + b";"
    yield "version-88a.gif", screen(20, 10, version=b"GIF88a") + small + b";"
    for width, height in (
        (0, 0),
        (0, 10),
        (20, 0),
        (1, 1),
        (19, 10),
        (20, 9),
        (400, 300),
        (5_000, 5_000),
        (5_001, 5_000),
        (65_535, 65_535),
    ):
        yield f"screen-of-{width}x{height}-for-20x10.gif", screen(width, height) + small + b";"
    for x, y in ((1, 0), (0, 1), (380, 290), (381, 290), (65_535, 65_535)):
        yield f"frame-at-{x}-{y}.gif", screen(400, 300) + frame(20, 10, x, y) + b";"
    yield "second-frame-larger.gif", screen(20, 10) + small + frame(60, 40) + b";"
    yield "second-frame-cut.gif", screen(20, 10) + small + frame(20, 10)[:-8]
    for width, height in ((0, 10), (20, 0), (0, 0)):
        yield f"frame-of-{width}x{height}.gif", screen(20, 10) + frame(width, height) + b";"
    yield "frame-says-more.gif", screen(20, 10) + frame(200, 100, data=packed(200)) + b";"
    yield "frame-says-less.gif", screen(20, 10) + frame(5, 5, data=packed(200)) + b";"
    yield "frame-says-65535.gif", screen(20, 10) + frame(65_535, 65_535, data=packed(200)) + b";"
    yield "frame-of-2700x2700-on-a-small-screen.gif", screen(20, 10) + frame(2_700, 2_700, data=packed(9)) + b";"
    for flags in (0x80, 0x81, 0x87, 0x40, 0xC0, 0x20):
        yield f"frame-flags-{flags:02x}.gif", screen(20, 10) + frame(20, 10, flags=flags) + b";"
        yield (
            f"frame-flags-{flags:02x}-without-a-global-table.gif",
            screen(20, 10, 0) + frame(20, 10, flags=flags) + b";",
        )
    for code_size in (0, 1, 3, 8, 12, 13, 255):
        yield f"code-size-{code_size}.gif", screen(20, 10) + frame(20, 10, code_size=code_size) + b";"
    yield "no-tables-at-all.gif", screen(20, 10, 0) + small + b";"
    yield "table-larger-than-the-file.gif", screen(20, 10, 0x87)[:13] + bytes(100)
    yield "no-frame.gif", screen(20, 10) + b";"
    yield "no-frame-but-comments.gif", screen(20, 10) + extension(0xFE, b"abc") + b";"
    yield "no-end.gif", screen(20, 10) + small
    yield "no-end-of-blocks.gif", screen(20, 10) + small[:-1]
    yield "no-data.gif", screen(20, 10) + frame(20, 10, data=b"\0") + b";"
    yield "data-short.gif", screen(20, 10) + frame(20, 10, data=packed(100)) + b";"
    yield (
        "data-of-single-bytes.gif",
        screen(20, 10)
        + frame(
            20, 10, data=b"".join(b"\1" + packed(200)[1:-1][at : at + 1] for at in range(len(packed(200)) - 2)) + b"\0"
        )
        + b";",
    )
    yield "data-beyond-the-end.gif", screen(20, 10) + small[:-1] + b"\xff;"
    yield "data-wrong.gif", screen(20, 10) + frame(20, 10, data=b"\xff" + b"\xff" * 255 + b"\0") + b";"
    for name, more in {
        "control": extension(0xF9, b"\0\0\0\0"),
        "control-transparent": extension(0xF9, b"\1\5\0\0"),
        "control-long": extension(0xF9, bytes(9)),
        "control-of-3": extension(0xF9, b"\0\0\0"),
        "control-of-3-transparent": extension(0xF9, b"\1\0\0"),
        "control-of-2": extension(0xF9, b"\0\0"),
        "control-empty": extension(0xF9),
        "control-twice": extension(0xF9, b"\0\0\0\0") * 2,
        "comment": extension(0xFE, b"hello", b"world"),
        "comment-empty": extension(0xFE),
        "comment-with-a-frame": extension(0xFE, frame(400, 300, data=packed(200))[:200]),
        "text": extension(0x01, bytes(12), b"hello"),
        "application": extension(0xFF, b"ABCDEFGH1.0", b"abc"),
        "application-empty": extension(0xFF),
        "loop": extension(0xFF, b"NETSCAPE2.0", b"\1\0\0"),
        "loop-empty": extension(0xFF, b"NETSCAPE2.0"),
        "loop-of-two": extension(0xFF, b"NETSCAPE2.0", b"\1\0"),
        "xmp": extension(0xFF, b"XMP DataXMP", b'<x tiff:Orientation="6"/>'),
        "profile-of-100-kB": extension(0xFF, b"ICCRGBG1012", *[bytes(255)] * 400),
        "unknown": extension(0x42, b"abc"),
        "unknown-empty": extension(0x42),
        "unknown-not-ended": extension(0x42, b"abc", ended=False),
        "zeros": bytes(5),
        "junk": b"junk that is no block",
        "junk-of-100-kB": b"j" * 100_000,
        "comments-by-the-thousand": extension(0xFE, b"a") * 9_000,
    }.items():
        yield f"{name}.gif", screen(20, 10) + more + small + b";"
    yield "extension-cut.gif", screen(20, 10) + b"!\xfe"
    yield "extension-begun.gif", screen(20, 10) + b"!"
    yield "frame-begun.gif", screen(20, 10) + small[:6]
    yield "frame-without-code-size.gif", screen(20, 10) + small[:10]
    yield "frame-with-code-size-alone.gif", screen(20, 10) + small[:11]
    for size in (0, 5, 6, 10, 12, 13):
        yield f"first-{size}-bytes.gif", screen(20, 10)[:size]
    whole = saved(picture("P"), "GIF")
    yield "junk-before.gif", b"\0" + whole
    yield "blocks-by-the-million.gif", screen(20, 10) + frame(20, 10, data=b"\1\4" * 1_000_000 + b"\0") + b";"
