"""JPEGs whose parts contradict each other, or the standard."""

import struct
from collections.abc import Iterator

from bases import picture, saved

File = tuple[str, bytes]
START, END = b"\xff\xd8", b"\xff\xd9"
LENGTH_LIMIT = 65_533


def segment(marker: int, data: bytes, length: int | None = None) -> bytes:
    if len(data) > LENGTH_LIMIT:
        raise ValueError(f"{len(data)} bytes do not fit into a segment")
    return bytes([0xFF, marker]) + struct.pack(">H", len(data) + 2 if length is None else length) + data


def frame(
    width: int, height: int, marker: int = 0xC0, bits: int = 8, components: int = 3, sampling: int = 0x11
) -> bytes:
    parts = b"".join(bytes([at + 1, sampling, 0]) for at in range(components))
    return segment(marker, struct.pack(">BHHB", bits, height, width, components) + parts)


def scan(components: int = 3, data: bytes = b"") -> bytes:
    parts = b"".join(bytes([at + 1, 0]) for at in range(components))
    return segment(0xDA, bytes([components]) + parts + bytes([0, 63, 0])) + data


TABLE = segment(0xDB, b"\0" + b"\1" * 64)


def bare(*, before: bytes = b"", frames: bytes = frame(40, 30), behind: bytes = b"", scans: bytes = scan()) -> bytes:
    """Without picture data, for which decoders put grey."""
    return START + before + TABLE + frames + behind + scans + END


def files() -> Iterator[File]:
    plain = saved(picture(), "JPEG")
    yield "bare.jpg", bare()
    for marker in range(0xC0, 0xD0):
        if marker not in (0xC4, 0xCC):
            lossless = marker in (0xC3, 0xC7, 0xCB, 0xCF)
            scans = (
                segment(0xDA, b"\3\1\0\2\0\3\0\1\0\0")
                if lossless
                else segment(0xDA, b"\3\1\0\2\0\3\0\0\0\0")
                if marker in (0xC2, 0xCA)
                else scan()
            )
            yield f"frame-{marker:02x}.jpg", bare(frames=frame(40, 30, marker), scans=scans)
    for marker in (0x01, 0x02, 0xBF, *range(0xD0, 0xE0), *range(0xF0, 0xFE)):
        if marker not in (0xDA, 0xDB):
            yield (
                f"marker-{marker:02x}-with-a-length.jpg",
                bare(before=segment(marker, b"\0\4" if marker == 0xDD else b"abc")),
            )
            yield f"marker-{marker:02x}-alone.jpg", bare(before=bytes([0xFF, marker]))
    for bits in (0, 1, 7, 9, 12, 16):
        yield f"bits-{bits}.jpg", bare(frames=frame(40, 30, bits=bits))
    for components in (0, 1, 2, 4, 5):
        yield f"components-{components}.jpg", bare(frames=frame(40, 30, components=components), scans=scan(components))
    for sampling in (0x00, 0x01, 0x10, 0x22, 0x44, 0x51, 0x15, 0xF1):
        yield f"sampling-{sampling:02x}.jpg", bare(frames=frame(40, 30, sampling=sampling, components=1), scans=scan(1))
    for width, height in (
        (0, 30),
        (40, 0),
        (0, 0),
        (1, 65_500),
        (65_501, 1),
        (1, 65_535),
        (5_000, 5_000),
        (5_001, 5_000),
        (13_378, 13_377),
        (65_500, 65_500),
        (65_535, 65_535),
    ):
        yield f"size-{width}x{height}.jpg", bare(frames=frame(width, height))
    yield (
        "height-told-later.jpg",
        bare(frames=frame(40, 0), scans=scan() + b"\0" + segment(0xDC, struct.pack(">H", 30))),
    )
    yield "height-told-before.jpg", bare(frames=frame(40, 0), behind=segment(0xDC, struct.pack(">H", 30)))
    yield "height-told-again.jpg", bare(scans=scan() + b"\0" + segment(0xDC, struct.pack(">H", 3_000)))
    yield "two-frames.jpg", bare(frames=frame(40, 30) + frame(400, 300))
    yield "two-frames-alike.jpg", bare(frames=frame(40, 30) * 2)
    yield "frame-behind-the-scan.jpg", bare(scans=scan(data=b"\0\0") + frame(400, 300))
    yield (
        "frame-between-scans.jpg",
        bare(
            frames=frame(40, 30, 0xC2),
            scans=segment(0xDA, b"\3\1\0\2\0\3\0\0\0\0") + frame(400, 300, 0xC2) + segment(0xDA, b"\1\1\0\1\x3f\0"),
        ),
    )
    yield "frame-in-a-comment.jpg", bare(before=segment(0xFE, frame(400, 300)))
    yield "whole-picture-in-a-comment.jpg", bare(before=segment(0xFE, bare(frames=frame(400, 300))))
    yield "frame-of-length-beyond.jpg", bare(frames=frame(40, 30)[:2] + b"\xff\xff" + frame(40, 30)[4:])
    yield "frame-too-long.jpg", bare(frames=segment(0xC0, frame(40, 30)[4:] + b"\0"))
    yield "frame-too-short.jpg", bare(frames=segment(0xC0, frame(40, 30)[4:-1]))
    yield "frame-without-components.jpg", bare(frames=segment(0xC0, frame(40, 30)[4:10]))
    yield "frame-missing.jpg", bare(frames=b"")
    yield "scan-missing.jpg", bare(scans=b"")
    yield "scan-before-the-frame.jpg", START + TABLE + scan() + frame(40, 30) + END
    yield "scan-of-too-many.jpg", bare(scans=scan(4))
    yield "scan-of-fewer.jpg", bare(scans=scan(1))
    yield "scan-of-another.jpg", bare(scans=segment(0xDA, b"\1\x09\0\0\x3f\0"))
    yield "scan-too-short.jpg", bare(scans=segment(0xDA, b"\3\1\0"))
    yield "tables-missing.jpg", START + frame(40, 30) + scan() + END
    for length in (0, 1):
        yield f"segment-of-length-{length}.jpg", bare(before=segment(0xFE, b"", length))
        yield f"application-segment-of-length-{length}.jpg", bare(before=segment(0xE3, b"", length))
    yield "segment-beyond-the-end.jpg", bare(before=segment(0xFE, b"abc", 60_000))
    yield "fill-bytes.jpg", bare(before=b"\xff" * 301, behind=b"\xff" * 65_000)
    yield "junk-between.jpg", bare(before=b"junk\0\0\xff\0junk", behind=bytes(70_000))
    yield "junk-before-the-start.jpg", b"\0" + bare()
    yield "line-before-the-start.jpg", b"\r\n" + plain
    yield "start-twice.jpg", START + bare()
    yield "start-and-end-first.jpg", START + END + bare()
    yield "end-before-the-scan.jpg", bare(behind=END)
    yield "end-in-a-preview-and-cut.jpg", bare(before=segment(0xE1, b"xx\xff\xd9xx"))[:-2]
    yield "end-missing.jpg", plain[:-2]
    yield "end-half.jpg", plain[:-1]
    yield "end-missing-with-zeros.jpg", plain[:-2] + bytes(99)
    yield "end-missing-progressive.jpg", saved(picture(), "JPEG", progressive=True)[:-2]
    yield "end-after-fill.jpg", plain[:-2] + b"\xff" * 20 + END
    yield "half-and-another.jpg", plain[: len(plain) // 2] + plain
    yield "half-and-end.jpg", plain[: len(plain) // 2] + END
    yield "nothing.jpg", b""
    yield "start-alone.jpg", START
    yield "start-and-one.jpg", START + b"\xff"
    yield "jfif-too-short.jpg", bare(before=segment(0xE0, b"JFIF"))
    yield "adobe-too-short.jpg", bare(before=segment(0xEE, b"Adobe"))
    yield "profile-too-short.jpg", bare(before=segment(0xE2, b"ICC_PROFILE\0"))
    yield "quantisation-too-short.jpg", bare(before=segment(0xDB, b"\0abc"))
    yield "pictures-index-wrong.jpg", bare(before=segment(0xE2, b"MPF\0II*\0" + bytes(9)))
    for count in (0, 1, 2, 2**31):
        index = b"MPF\0II*\0\x08\0\0\0" + struct.pack("<HHHLLL", 1, 0xB001, 4, 1, count, 0)
        yield f"pictures-index-of-{count}.jpg", bare(before=segment(0xE2, index))
