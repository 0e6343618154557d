"""Metadata and profiles of every kind and size, and what they say of how a picture is turned."""

import struct
import zlib
from collections.abc import Iterator

from bases import picture, saved
from jpeg_parts import segment
from png_parts import chunk
from webp_parts import extended, riff_chunk, simple_image

File = tuple[str, bytes]
XMP_NAME = b"http://ns.adobe.com/xap/1.0/\0"
ORIENTATION = 0x0112


def tiff(
    entries: list[tuple[int, int, int, bytes]],
    order: str = "<",
    magic: bytes | None = None,
    after: bytes = b"",
    offset: int = 8,
) -> bytes:
    """A TIFF file of one directory. Each entry: tag, type, count, four bytes of value or offset."""
    start = magic or (b"II*\0" if order == "<" else b"MM\0*")
    body = struct.pack(order + "H", len(entries))
    for tag, kind, count, value in entries:
        body += struct.pack(order + "HHL", tag, kind, count) + value.ljust(4, b"\0")
    return start + struct.pack(order + "L", offset) + bytes(offset - 8) + body + struct.pack(order + "L", 0) + after


def turned(value: int, order: str = "<") -> bytes:
    return tiff([(ORIENTATION, 3, 1, struct.pack(order + "H", value))], order)


def xmp(value: object, element: bool = False) -> bytes:
    inner = f"<tiff:Orientation>{value}</tiff:Orientation>" if element else ""
    attribute = "" if element else f' tiff:Orientation="{value}"'
    return f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description{attribute}>{inner}</rdf:Description></x:xmpmeta>'.encode()


def exifs() -> dict[str, bytes]:
    found = {f"orientation-{value}": turned(value) for value in (*range(10), 255, 65_535)}
    found |= {f"big-endian-{value}": turned(value, ">") for value in (3, 6, 8)}
    six = struct.pack("<H", 6)
    found |= {
        "long": tiff([(ORIENTATION, 4, 1, struct.pack("<L", 6))]),
        "byte": tiff([(ORIENTATION, 1, 1, b"\6")]),
        "signed-byte": tiff([(ORIENTATION, 6, 1, b"\6")]),
        "text": tiff([(ORIENTATION, 2, 2, b"6\0")]),
        "undefined": tiff([(ORIENTATION, 7, 1, b"\6")]),
        "signed-short": tiff([(ORIENTATION, 8, 1, six)]),
        "float": tiff([(ORIENTATION, 11, 1, struct.pack("<f", 6))]),
        "directory-type": tiff([(ORIENTATION, 13, 1, struct.pack("<L", 6))]),
        "unknown-type": tiff([(ORIENTATION, 99, 1, six)]),
        "rational": tiff([(ORIENTATION, 5, 1, struct.pack("<L", 26))], after=struct.pack("<LL", 6, 1)),
        "rational-twelve-halves": tiff([(ORIENTATION, 5, 1, struct.pack("<L", 26))], after=struct.pack("<LL", 12, 2)),
        "rational-by-zero": tiff([(ORIENTATION, 5, 1, struct.pack("<L", 26))], after=struct.pack("<LL", 6, 0)),
        "double": tiff([(ORIENTATION, 12, 1, struct.pack("<L", 26))], after=struct.pack("<d", 6)),
        "long-8": tiff([(ORIENTATION, 16, 1, struct.pack("<L", 26))], after=struct.pack("<Q", 6)),
        "two-values": tiff([(ORIENTATION, 3, 2, struct.pack("<HH", 6, 1))]),
        "three-values": tiff([(ORIENTATION, 3, 3, struct.pack("<L", 26))], after=struct.pack("<HHH", 6, 1, 1)),
        "no-value": tiff([(ORIENTATION, 3, 0, six)]),
        "orientation-twice": tiff([(ORIENTATION, 3, 1, six), (ORIENTATION, 3, 1, struct.pack("<H", 1))]),
        "empty-first": tiff([(ORIENTATION, 3, 0, six), (ORIENTATION, 3, 1, six)]),
        "after-others": tiff(
            [(0x010F, 2, 4, b"abc\0"), (0x0110, 2, 4, b"abc\0"), (ORIENTATION, 3, 1, six), (0x0131, 2, 4, b"x\0")]
        ),
        "after-one-beyond-the-end": tiff([(0x010F, 2, 900, struct.pack("<L", 5_000)), (ORIENTATION, 3, 1, six)]),
        "after-one-cut": tiff([(0x010F, 2, 20, struct.pack("<L", 40)), (ORIENTATION, 3, 1, six)]),
        "maker-note": tiff(
            [(ORIENTATION, 3, 1, six), (0x8769, 4, 1, struct.pack("<L", 38))],
            after=tiff([(0x927C, 7, 30_000, struct.pack("<L", 60))])[8:] + b"m" * 40_000,
        ),
        "position": tiff(
            [(ORIENTATION, 3, 1, six), (0x8825, 4, 1, struct.pack("<L", 38))], after=tiff([(1, 2, 2, b"N\0")])[8:]
        ),
        "directory-elsewhere": tiff([(ORIENTATION, 3, 1, six), (0x8769, 4, 1, struct.pack("<L", 9_999_999))]),
        "directory-in-a-circle": tiff([(ORIENTATION, 3, 1, six), (0x8769, 4, 1, struct.pack("<L", 8))]),
        "directory-late": tiff([(ORIENTATION, 3, 1, six)], offset=5_000),
        "directory-beyond": tiff([(ORIENTATION, 3, 1, six)])[:4] + struct.pack("<L", 99_999),
        "cut-in-the-directory": turned(6)[:18],
        "cut-in-the-number": turned(6)[:9],
        "cut-in-the-header": turned(6)[:6],
        "of-no-bytes": b"",
        "named-twice": b"Exif\0\0" + turned(6),
        "magic-swapped": tiff([(ORIENTATION, 3, 1, six)], magic=b"II\0*"),
        "big-tiff": tiff([(ORIENTATION, 3, 1, six)], magic=b"II+\0"),
        "big-tiff-big-endian": tiff([(ORIENTATION, 3, 1, struct.pack(">H", 6))], ">", magic=b"MM\0+"),
        "magic-wrong": tiff([(ORIENTATION, 3, 1, six)], magic=b"II**"),
        "text-for-a-tiff": b"not a TIFF at all",
        "many-entries": tiff([(0x9000 + at, 3, 1, six) for at in range(1_500)] + [(ORIENTATION, 3, 1, six)]),
        "numbers-as-text": tiff([(ORIENTATION, 3, 1, six), (0x011A, 2, 3, b"72\0"), (0x0128, 2, 2, b"2\0")]),
        "text-as-numbers": tiff(
            [(ORIENTATION, 3, 1, six), (0x010F, 3, 2, struct.pack("<HH", 1, 2)), (0x0131, 4, 1, six)]
        ),
    }
    return found


def jpegs() -> Iterator[File]:
    plain = saved(picture(), "JPEG")

    def behind_start(*segments: bytes) -> bytes:
        return plain[:2] + b"".join(segments) + plain[2:]

    for name, data in exifs().items():
        yield f"exif-{name}.jpg", behind_start(segment(0xE1, b"Exif\0\0" + data))
    six, one = turned(6), turned(1)
    yield (
        "exif-in-two-segments.jpg",
        behind_start(segment(0xE1, b"Exif\0\0" + six[:12]), segment(0xE1, b"Exif\0\0" + six[12:])),
    )
    yield "exif-twice.jpg", behind_start(segment(0xE1, b"Exif\0\0" + six), segment(0xE1, b"Exif\0\0" + one))
    yield "exif-after-the-frame.jpg", plain.replace(b"\xff\xda", segment(0xE1, b"Exif\0\0" + six) + b"\xff\xda", 1)
    yield "exif-in-another-segment.jpg", behind_start(segment(0xE2, b"Exif\0\0" + six))
    yield (
        "exif-of-1.2-MB.jpg",
        behind_start(segment(0xE1, b"Exif\0\0" + six), *[segment(0xE1, b"Exif\0\0" + bytes(60_000))] * 20),
    )
    for element in (False, True):
        for value in (1, 6, 8, 9, "", 66, "x"):
            yield (
                f"xmp-{'element' if element else 'attribute'}-{value}.jpg",
                behind_start(segment(0xE1, XMP_NAME + xmp(value, element))),
            )
    yield "xmp-against-exif.jpg", behind_start(segment(0xE1, b"Exif\0\0" + one), segment(0xE1, XMP_NAME + xmp(6)))
    yield (
        "xmp-beside-an-empty-exif.jpg",
        behind_start(segment(0xE1, b"Exif\0\0" + tiff([])), segment(0xE1, XMP_NAME + xmp(6))),
    )
    yield (
        "xmp-beside-a-wrong-exif.jpg",
        behind_start(segment(0xE1, b"Exif\0\0" + b"no"), segment(0xE1, XMP_NAME + xmp(6))),
    )
    yield (
        "xmp-beside-a-cut-exif.jpg",
        behind_start(segment(0xE1, b"Exif\0\0" + turned(6)[:18]), segment(0xE1, XMP_NAME + xmp(6))),
    )
    yield "xmp-twice.jpg", behind_start(segment(0xE1, XMP_NAME + xmp(6)), segment(0xE1, XMP_NAME + xmp(1)))
    profile = bytes(range(256)) * 2_180
    pieces = [profile[at : at + 65_519] for at in range(0, len(profile), 65_519)]
    icc = [segment(0xE2, b"ICC_PROFILE\0" + bytes([at + 1, len(pieces)]) + piece) for at, piece in enumerate(pieces)]
    yield (
        "cmyk-profile-of-557-kB.jpg",
        saved(picture("CMYK"), "JPEG")[:2] + b"".join(icc) + saved(picture("CMYK"), "JPEG")[2:],
    )
    yield "profile-in-the-wrong-order.jpg", behind_start(*reversed(icc))
    yield "profile-with-a-piece-missing.jpg", behind_start(*icc[1:])
    extension = b"http://ns.adobe.com/xmp/extension/\0" + b"0" * 40
    yield (
        "depth-map-in-xmp-of-900-kB.jpg",
        behind_start(segment(0xE1, XMP_NAME + xmp(1)), *[segment(0xE1, extension + b"d" * 60_000)] * 15),
    )
    block = b"8BIM" + struct.pack(">HBxL", 0x0404, 0, 50_000) + bytes(50_000)
    yield "photoshop-blocks-of-400-kB.jpg", behind_start(*[segment(0xED, b"Photoshop 3.0\0" + block)] * 8)
    yield (
        "photoshop-block-over-two-segments.jpg",
        behind_start(*(segment(0xED, b"Photoshop 3.0\0" + part) for part in (block[:30_000], block[30_000:]))),
    )
    yield "comments-of-600-kB.jpg", behind_start(*[segment(0xFE, b"c" * 65_533)] * 10)
    yield "every-segment.jpg", behind_start(*(segment(0xE0 + kind, f"kind {kind}".encode() * 9) for kind in range(16)))
    yield "small-comments-by-the-thousand.jpg", behind_start(*[segment(0xFE, b"")] * 9_000)
    preview = saved(picture("RGB", 20, 90), "JPEG")
    with_preview = tiff([(ORIENTATION, 3, 1, struct.pack("<H", 1))], after=preview)
    yield "preview-with-its-own-frame.jpg", behind_start(segment(0xE1, b"Exif\0\0" + with_preview))
    yield (
        "preview-in-photoshop.jpg",
        behind_start(
            segment(0xED, b"Photoshop 3.0\0" + b"8BIM" + struct.pack(">HHL", 0x040C, 0, len(preview)) + preview)
        ),
    )
    yield "provenance.jpg", behind_start(*[segment(0xEB, b"JP\0\1\0\0\0\1" + bytes(60_000))] * 7)
    for transform in (0, 1, 2, 3):
        adobe = segment(0xEE, b"Adobe\0\x64\0\0\0\0" + bytes([transform]))
        for mode in ("L", "RGB", "CMYK"):
            data = saved(picture(mode), "JPEG")
            yield f"adobe-{transform}-{mode}.jpg", data[:2] + adobe + data[2:]


def pngs() -> Iterator[File]:
    plain = saved(picture(), "PNG")
    data_at = plain.index(b"IDAT") - 4
    end_at = plain.index(b"IEND") - 4

    def with_chunk(*chunks: bytes, behind: bool = False) -> bytes:
        at = end_at if behind else data_at
        return plain[:at] + b"".join(chunks) + plain[at:]

    for name, data in exifs().items():
        yield f"exif-{name}.png", with_chunk(chunk(b"eXIf", data))
    six = turned(6)
    raw = b"\nexif\n%8d\n" % (len(six) + 6) + b"\n".join([b"Exif\0\0".hex().encode(), six.hex().encode()]) + b"\n"
    for behind in (False, True):
        where = "behind" if behind else "before"
        yield f"exif-{where}.png", with_chunk(chunk(b"eXIf", six), behind=behind)
        yield f"raw-exif-{where}.png", with_chunk(chunk(b"tEXt", b"Raw profile type exif\0" + raw), behind=behind)
        yield (
            f"raw-exif-packed-{where}.png",
            with_chunk(chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(raw)), behind=behind),
        )
        yield f"xmp-{where}.png", with_chunk(chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp(6)), behind=behind)
        yield (
            f"xmp-packed-{where}.png",
            with_chunk(chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(xmp(6))), behind=behind),
        )
        yield f"big-text-{where}.png", with_chunk(chunk(b"tEXt", b"Comment\0" + b"t" * 900_000), behind=behind)
        yield (
            f"private-{where}.png",
            with_chunk(chunk(b"prVt", b"p" * 300_000), chunk(b"caBX", bytes(500_000)), behind=behind),
        )
        yield (
            f"text-without-a-key-{where}.png",
            with_chunk(chunk(b"tEXt", b"no key"), chunk(b"zTXt", b""), chunk(b"iTXt", b"x"), behind=behind),
        )
    yield "exif-before-damaged-data.png", with_chunk(chunk(b"eXIf", six)).replace(b"IDAT", b"IDAT\xff", 1)
    yield "raw-exif-wrong.png", with_chunk(chunk(b"tEXt", b"Raw profile type exif\0\nexif\n 8\nzz"))
    yield "raw-exif-odd.png", with_chunk(chunk(b"tEXt", b"Raw profile type exif\0" + raw[:-2]))
    yield "raw-app1.png", with_chunk(chunk(b"zTXt", b"Raw profile type APP1\0\0" + zlib.compress(raw)))
    yield "exif-as-text.png", with_chunk(chunk(b"tEXt", b"exif\0" + six))
    yield "exif-behind-and-cut.png", with_chunk(chunk(b"eXIf", six), behind=True)[:-20]
    yield "exif-before-a-cut-end.png", with_chunk(chunk(b"eXIf", six))[:-6]
    yield "exif-before-a-cut-text.png", with_chunk(chunk(b"eXIf", six))[:-12] + chunk(b"tEXt", b"a\0" + b"b" * 99)[:-30]
    yield "exif-before-a-wrong-text.png", with_chunk(chunk(b"eXIf", six))[:-12] + chunk(b"gAMA", b"x") + plain[end_at:]
    yield "xmp-not-packed-as-it-says.png", with_chunk(chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + xmp(6)))
    yield (
        "xmp-packed-and-cut.png",
        with_chunk(
            chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(xmp(6) + bytes(range(256)) * 99)[:-40])
        ),
    )
    for size in (3_000, 600_000):
        yield (
            f"profile-of-{size}.png",
            with_chunk(chunk(b"iCCP", b"p\0\0" + zlib.compress(bytes(range(256)) * (size // 256)))),
        )
    yield "profile-not-packed.png", with_chunk(chunk(b"iCCP", b"p\0\0" + b"not deflated"))
    animation = saved(picture(), "PNG", save_all=True, append_images=[picture().rotate(180)])
    at = animation.index(b"fcTL", animation.index(b"IDAT")) - 4
    yield "exif-between-frames.png", animation[:at] + chunk(b"eXIf", six) + animation[at:]
    yield "exif-behind-frames.png", animation[:-12] + chunk(b"eXIf", six) + animation[-12:]


def webps() -> Iterator[File]:
    image = simple_image(saved(picture(), "WEBP"))
    for name, data in exifs().items():
        yield f"exif-{name}.webp", extended(97, 61, 8, image, riff_chunk(b"EXIF", data))
    six = turned(6)
    yield "exif-named.webp", extended(97, 61, 8, image, riff_chunk(b"EXIF", b"Exif\0\0" + six))
    yield "exif-first.webp", extended(97, 61, 8, riff_chunk(b"EXIF", six), image)
    yield "exif-twice.webp", extended(97, 61, 8, image, riff_chunk(b"EXIF", six), riff_chunk(b"EXIF", turned(1)))
    yield "exif-not-announced.webp", extended(97, 61, 0, image, riff_chunk(b"EXIF", six))
    yield "exif-announced-and-missing.webp", extended(97, 61, 8, image)
    yield "xmp-6.webp", extended(97, 61, 4, image, riff_chunk(b"XMP ", xmp(6)))
    yield "xmp-not-announced.webp", extended(97, 61, 0, image, riff_chunk(b"XMP ", xmp(6)))
    yield "profile-of-600-kB.webp", extended(97, 61, 32, riff_chunk(b"ICCP", bytes(600_001)), image)
    yield (
        "unknown-of-600-kB.webp",
        extended(97, 61, 0, riff_chunk(b"abcd", bytes(600_001)), image, riff_chunk(b"efgh", b"x")),
    )


def files() -> Iterator[File]:
    yield from jpegs()
    yield from pngs()
    yield from webps()
