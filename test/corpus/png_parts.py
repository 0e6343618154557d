"""PNGs whose parts contradict each other, or the standard."""

import struct
import zlib
from collections.abc import Iterator

from bases import picture, saved

File = tuple[str, bytes]
SIGNATURE = b"\x89PNG\r\n\x1a\n"
END = struct.pack(">L4sL", 0, b"IEND", zlib.crc32(b"IEND"))


def chunk(name: bytes, data: bytes, sum_off_by: int = 0) -> bytes:
    return (
        struct.pack(">L", len(data))
        + name
        + data
        + struct.pack(">L", (zlib.crc32(name + data) + sum_off_by) & 0xFFFFFFFF)
    )


def header(
    width: int = 40,
    height: int = 30,
    bits: int = 8,
    colour: int = 2,
    packing: int = 0,
    filters: int = 0,
    interlace: int = 0,
) -> bytes:
    return chunk(b"IHDR", struct.pack(">LLBBBBB", width, height, bits, colour, packing, filters, interlace))


def rows(width: int = 40, height: int = 30, bits: int = 8, colour: int = 2) -> bytes:
    samples = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}.get(colour, 1)
    return zlib.compress((b"\0" + bytes((width * bits * samples + 7) // 8)) * height)


def bare(
    *,
    before: bytes = b"",
    head: bytes | None = None,
    between: bytes = b"",
    data: bytes | None = None,
    behind: bytes = b"",
    end: bytes = END,
) -> bytes:
    return (
        SIGNATURE
        + before
        + (header() if head is None else head)
        + between
        + (chunk(b"IDAT", rows()) if data is None else data)
        + behind
        + end
    )


def control(number: int, width: int = 40, height: int = 30, x: int = 0, y: int = 0) -> bytes:
    return chunk(b"fcTL", struct.pack(">LLLLLHHBB", number, width, height, x, y, 1, 10, 0, 0))


def animations() -> Iterator[File]:
    counted = chunk(b"acTL", struct.pack(">LL", 2, 0))
    later = control(1) + chunk(b"fdAT", struct.pack(">L", 2) + rows())
    yield "plain", bare(between=counted + control(0), behind=later)
    yield "default-image", bare(between=counted, behind=control(0) + chunk(b"fdAT", struct.pack(">L", 1) + rows()))
    yield "frame-too-large", bare(between=counted + control(0, 41, 30), behind=later)
    yield "frame-outside", bare(between=counted + control(0, 40, 30, 1), behind=later)
    yield "frame-empty", bare(between=counted + control(0, 0, 30), behind=later)
    yield "frame-smaller", bare(between=counted + control(0, 20, 30), data=chunk(b"IDAT", rows(20, 30)), behind=later)
    yield (
        "frame-much-smaller",
        bare(head=header(400, 300), between=counted + control(0, 1, 1), data=chunk(b"IDAT", rows(1, 1)), behind=later),
    )
    yield "later-frame-too-large", bare(between=counted + control(0), behind=control(1, 400, 300))
    yield "numbers-wrong", bare(between=counted + control(7), behind=later)
    yield "counted-twice", bare(between=counted * 2 + control(0), behind=later)
    yield "counted-none", bare(between=chunk(b"acTL", bytes(8)) + control(0), behind=later)
    yield "counted-too-many", bare(between=chunk(b"acTL", b"\xff" * 8) + control(0), behind=later)
    yield "counted-short", bare(between=chunk(b"acTL", bytes(7)) + control(0), behind=later)
    yield (
        "data-of-later-frames-first",
        bare(between=counted + control(0), data=chunk(b"fdAT", struct.pack(">L", 1) + rows())),
    )
    yield "control-short", bare(between=counted + chunk(b"fcTL", bytes(25)))
    yield "control-without-count", bare(between=control(0))


def files() -> Iterator[File]:
    plain = saved(picture(), "PNG")
    yield "bare.png", bare()
    for name, data in animations():
        yield f"animation-{name}.png", data
    for colour in range(8):
        for bits in (1, 2, 3, 4, 8, 16, 32):
            palette = chunk(b"PLTE", bytes(768)) if colour == 3 else b""
            yield (
                f"colour-{colour}-of-{bits}-bit.png",
                bare(
                    head=header(bits=bits, colour=colour),
                    between=palette,
                    data=chunk(b"IDAT", rows(40, 30, bits, colour)),
                ),
            )
    for width, height in ((0, 30), (40, 0), (0, 0), (1, 30), (40, 1), (40, 300), (400, 30), (25, 30), (40, 20)):
        yield f"header-of-{width}x{height}-for-40x30.png", bare(head=header(width, height))
    for width, height in (
        (5_000, 5_000),
        (5_001, 5_000),
        (13_378, 13_377),
        (100_000, 100_000),
        (2**31 - 1, 1),
        (2**31, 1),
        (2**32 - 1, 2**32 - 1),
    ):
        yield f"tiny-of-{width}x{height}.png", bare(head=header(width, height, 1, 0))
    yield "packing-9.png", bare(head=header(packing=9))
    yield "filters-9.png", bare(head=header(filters=9))
    for interlace in (1, 2, 255):
        yield f"interlace-{interlace}.png", bare(head=header(interlace=interlace), data=chunk(b"IDAT", rows(40, 90)))
    yield "header-twice.png", bare(between=header(400, 300), data=chunk(b"IDAT", rows(400, 300)))
    yield "header-twice-data-of-the-first.png", bare(between=header(400, 300))
    yield "header-twice-of-another-colour.png", bare(between=header(20, 10, colour=0))
    yield "header-twice-second-unknown.png", bare(between=header(20, 30, bits=3))
    yield "header-twice-first-unknown.png", bare(head=header(20, 30, bits=3), between=header())
    yield "header-behind-the-data.png", bare(behind=header(400, 300))
    yield "header-missing.png", bare(head=b"")
    yield "header-behind-text.png", bare(before=chunk(b"tEXt", b"a\0b"))
    yield "header-behind-apples-chunk.png", bare(before=chunk(b"CgBI", b"\x50\0\x20\2"))
    yield "header-of-12-bytes.png", bare(head=chunk(b"IHDR", header()[8:20]))
    yield "header-of-14-bytes.png", bare(head=chunk(b"IHDR", header()[8:21] + b"\0"))
    yield "header-with-a-wrong-sum.png", bare(head=chunk(b"IHDR", header()[8:21], 1))
    for name in (b"tEXt", b"gAMA", b"prVt", b"ABCD", b"eXIf"):
        yield f"wrong-sum-before-{name.decode()}.png", bare(between=chunk(name, b"a\0bcd", 1))
        yield f"wrong-sum-behind-{name.decode()}.png", bare(behind=chunk(name, b"a\0bcd", 1))
    yield "wrong-sum-of-500-kB.png", bare(between=chunk(b"prVt", bytes(500_000), 1))
    yield "wrong-sum-of-the-data.png", bare(data=chunk(b"IDAT", rows(), 1))
    yield "wrong-sum-of-the-end.png", bare(end=chunk(b"IEND", b"", 1))
    for name, short in {
        b"gAMA": 3,
        b"cHRM": 31,
        b"sRGB": 0,
        b"pHYs": 8,
        b"tRNS": 5,
        b"iCCP": 0,
        b"PLTE": 0,
        b"sBIT": 0,
        b"tIME": 0,
        b"bKGD": 1,
    }.items():
        yield f"short-{name.decode()}.png", bare(between=chunk(name, bytes(short)))
        yield f"short-{name.decode()}-behind.png", bare(behind=chunk(name, bytes(short)))
    for colour, bits, size in (
        (0, 8, 1),
        (0, 8, 2),
        (0, 16, 1),
        (0, 1, 1),
        (3, 8, 0),
        (3, 8, 999),
        (4, 8, 0),
        (6, 8, 0),
    ):
        between = (chunk(b"PLTE", bytes(768)) if colour == 3 else b"") + chunk(b"tRNS", bytes(size))
        yield (
            f"transparency-of-{size}-for-{colour}-of-{bits}-bit.png",
            bare(
                head=header(bits=bits, colour=colour), between=between, data=chunk(b"IDAT", rows(40, 30, bits, colour))
            ),
        )
    yield "transparency-before-the-header.png", bare(before=chunk(b"tRNS", b""))
    yield "palette-missing.png", bare(head=header(colour=3), data=chunk(b"IDAT", rows(colour=3)))
    yield (
        "palette-of-one.png",
        bare(head=header(colour=3), between=chunk(b"PLTE", b"abc"), data=chunk(b"IDAT", rows(colour=3))),
    )
    yield (
        "palette-of-300.png",
        bare(head=header(colour=3), between=chunk(b"PLTE", bytes(900)), data=chunk(b"IDAT", rows(colour=3))),
    )
    yield "profile-packed-otherwise.png", bare(between=chunk(b"iCCP", b"p\0\1abc"))
    yield "profile-without-a-name.png", bare(between=chunk(b"iCCP", b"abc"))
    yield "text-packed-otherwise.png", bare(between=chunk(b"zTXt", b"k\0\1abc"))
    yield "profile-of-2-MB.png", bare(between=chunk(b"iCCP", b"p\0\0" + zlib.compress(bytes(2_000_000))))
    yield "text-of-2-MB-packed.png", bare(between=chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(2_000_000))))
    yield (
        "xmp-of-2-MB-packed.png",
        bare(between=chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(bytes(2_000_000)))),
    )
    data = rows()
    yield "data-in-two.png", bare(data=chunk(b"IDAT", data[:9]) + chunk(b"IDAT", data[9:]))
    yield "data-in-single-bytes.png", bare(data=b"".join(chunk(b"IDAT", data[at : at + 1]) for at in range(len(data))))
    yield (
        "data-torn-apart.png",
        bare(data=chunk(b"IDAT", data[:9]) + chunk(b"tEXt", b"a\0b") + chunk(b"IDAT", data[9:])),
    )
    yield "data-twice.png", bare(data=chunk(b"IDAT", data) * 2)
    yield "data-twice-torn-apart.png", bare(data=chunk(b"IDAT", data) + chunk(b"tEXt", b"a\0b") + chunk(b"IDAT", data))
    yield "data-empty.png", bare(data=chunk(b"IDAT", b""))
    yield "data-empty-first.png", bare(data=chunk(b"IDAT", b"") + chunk(b"IDAT", data))
    yield "data-missing.png", bare(data=b"")
    yield "data-of-half-the-rows.png", bare(data=chunk(b"IDAT", rows(40, 15)))
    yield "data-of-more-rows.png", bare(data=chunk(b"IDAT", rows(40, 90)))
    yield "data-not-packed.png", bare(data=chunk(b"IDAT", bytes(4_000)))
    yield (
        "data-beyond-the-end.png",
        bare()[:-12].replace(struct.pack(">L", len(data)) + b"IDAT", struct.pack(">L", 90_000) + b"IDAT"),
    )
    yield "length-beyond-4-GB.png", bare(between=b"\xff\xff\xff\xfftEXtabc")
    yield "chunk-with-a-wrong-name.png", bare(between=chunk(b"a\0b!", b""))
    yield "chunk-with-a-wrong-name-behind.png", bare(behind=chunk(b"a\0b!", b""))
    yield "chunk-with-digits-for-a-name.png", bare(between=chunk(b"12_4", b""))
    yield "end-missing.png", bare(end=b"")
    yield "end-missing-behind-text.png", bare(behind=chunk(b"tEXt", b"a\0b"), end=b"")
    yield "end-cut.png", bare(end=END[:8])
    yield "end-first.png", bare(between=END)
    yield "end-with-data.png", bare(end=chunk(b"IEND", b"abc"))
    yield "text-cut-behind-the-data.png", bare(behind=chunk(b"tEXt", b"a\0" + b"b" * 99)[:-50], end=b"")
    yield "line-ends-changed.png", plain.replace(b"\r\n", b"\n", 1)
    yield "signature-alone.png", SIGNATURE
    yield "signature-and-half-a-chunk.png", plain[:15]
    yield "junk-before.png", b"\0" + plain
    yield "tiny-chunks-by-the-thousand.png", bare(between=chunk(b"tEXt", b"a\0b") * 20_000)
    yield "tiny-chunks-by-the-million.png", bare(between=chunk(b"prVt", b"") * 1_000_000)
