"""WebPs whose parts contradict each other, or the specification."""

import struct
from collections.abc import Iterator

from bases import frames, picture, saved

File = tuple[str, bytes]


def riff_chunk(name: bytes, data: bytes, size: int | None = None, pad: bool = True) -> bytes:
    padding = b"\0" if pad and len(data) % 2 else b""
    return name + struct.pack("<L", len(data) if size is None else size) + data + padding


def container(*chunks: bytes, off_by: int = 0) -> bytes:
    body = b"WEBP" + b"".join(chunks)
    return b"RIFF" + struct.pack("<L", len(body) + off_by) + body


def three(value: int) -> bytes:
    return struct.pack("<L", value)[:3]


def extended(width: int, height: int, flags: int, *chunks: bytes) -> bytes:
    return container(
        riff_chunk(b"VP8X", struct.pack("<BBH", flags, 0, 0) + three(width - 1) + three(height - 1)), *chunks
    )


def simple_image(data: bytes) -> bytes:
    """The one chunk of a simple file."""
    return data[12:]


def animation_frame(image: bytes, width: int, height: int, x: int = 0, y: int = 0) -> bytes:
    return riff_chunk(
        b"ANMF", three(x // 2) + three(y // 2) + three(width - 1) + three(height - 1) + three(50) + b"\0" + image
    )


def files() -> Iterator[File]:
    lossy = simple_image(saved(picture(), "WEBP"))
    lossless = simple_image(saved(picture(), "WEBP", lossless=True))
    other = simple_image(saved(picture("RGB", 30, 20), "WEBP"))
    with_alpha = saved(picture("RGBA"), "WEBP")
    alpha_at = with_alpha.index(b"ALPH")
    alpha_and_image = with_alpha[alpha_at:]
    alpha_size = 8 + (struct.unpack("<L", alpha_and_image[4:8])[0] + 1) // 2 * 2
    alpha, image_of_alpha = alpha_and_image[:alpha_size], alpha_and_image[alpha_size:]
    animated = struct.pack("<LH", 0, 0)

    for name, image in {"lossy": lossy, "lossless": lossless}.items():
        for off_by in (-100, -9, -2, -1, 1, 2, 8, 100, 2**31):
            yield f"{name}-container-off-by-{off_by}.webp", container(image, off_by=off_by)
            yield f"{name}-container-off-by-{off_by}-and-more.webp", container(image, off_by=off_by) + bytes(150)
        for size in (0, 1, 4, 5, 9, 10, 99, 2**31, 2**32 - 1, 2**32 - 12):
            yield f"{name}-chunk-says-{size}.webp", container(image[:4] + struct.pack("<L", size) + image[8:])
        yield f"{name}-container-of-2-GB.webp", b"RIFF\xff\xff\xff\xff" + container(image)[8:]
        yield f"{name}-twice.webp", container(image, image)
        yield f"{name}-and-an-unknown-chunk.webp", container(image, riff_chunk(b"abcd", b"xyz"))
        yield f"{name}-behind-an-unknown-chunk.webp", container(riff_chunk(b"abcd", b"xyz"), image)
        yield f"{name}-and-half-a-header.webp", container(image, b"abcd")
        yield (
            f"{name}-not-padded.webp",
            container(image[:4] + struct.pack("<L", len(image) - 8 + 1) + image[8:] + b"\0"),
        )
        yield (
            f"{name}-odd-and-not-padded.webp",
            container(image[:4] + struct.pack("<L", len(image) - 8 - 1) + image[8:-1]),
        )
        yield f"{name}-canvas.webp", extended(97, 61, 0, image)
        for width, height in (
            (96, 61),
            (98, 61),
            (97, 60),
            (5_000, 5_000),
            (5_001, 5_000),
            (1, 1),
            (2**24, 1),
            (2**24, 2**24),
            (16_384, 16_384),
        ):
            yield f"{name}-in-a-canvas-of-{width}x{height}.webp", extended(width, height, 0, image)
        yield f"{name}-and-another-in-a-canvas.webp", extended(97, 61, 0, image, other)
        yield f"{name}-twice-in-a-canvas.webp", extended(97, 61, 0, image, image)
        for flag in (1, 2, 4, 8, 16, 32, 64, 128, 255):
            yield f"{name}-canvas-with-flag-{flag}.webp", extended(97, 61, flag, image)
        for place in range(8, 22):
            damaged = bytearray(image)
            damaged[place] ^= 0xFF
            yield f"{name}-damaged-at-{place}.webp", container(bytes(damaged))
        turned = image[:12] + bytes([image[12] ^ 0x0F]) + image[13:]
        yield f"{name}-with-another-size-in-a-canvas.webp", extended(97, 61, 0, turned)
        yield f"{name}-named-as-the-other.webp", container((b"VP8 " if name == "lossless" else b"VP8L") + image[4:])

        one = animation_frame(image, 97, 61)
        for what, chunks in {
            "plain": (riff_chunk(b"ANIM", animated), one, one),
            "of-one": (riff_chunk(b"ANIM", animated), one),
            "without-anim": (one, one),
            "without-frames": (riff_chunk(b"ANIM", animated),),
            "anim-short": (riff_chunk(b"ANIM", b"abcd"), one),
            "anim-twice": (riff_chunk(b"ANIM", animated), riff_chunk(b"ANIM", animated), one),
            "and-a-still": (riff_chunk(b"ANIM", animated), one, image),
            "still-first": (image, riff_chunk(b"ANIM", animated), one),
            "frame-says-other-size": (riff_chunk(b"ANIM", animated), animation_frame(image, 20, 20)),
            "frame-outside": (riff_chunk(b"ANIM", animated), animation_frame(image, 97, 61, 4, 4)),
            "frame-smaller": (riff_chunk(b"ANIM", animated), animation_frame(other, 30, 20, 4, 4)),
            "later-frame-outside": (riff_chunk(b"ANIM", animated), one, animation_frame(other, 30, 20, 90, 4)),
            "frame-empty": (riff_chunk(b"ANIM", animated), riff_chunk(b"ANMF", bytes(16))),
            "frame-short": (riff_chunk(b"ANIM", animated), riff_chunk(b"ANMF", bytes(9))),
            "frame-with-unknown": (
                riff_chunk(b"ANIM", animated),
                animation_frame(image + riff_chunk(b"abcd", b"xy"), 97, 61),
            ),
            "frame-with-unknown-first": (
                riff_chunk(b"ANIM", animated),
                animation_frame(riff_chunk(b"abcd", b"xy") + image, 97, 61),
            ),
            "frame-with-two-pictures": (riff_chunk(b"ANIM", animated), animation_frame(image * 2, 97, 61)),
        }.items():
            yield f"{name}-animation-{what}.webp", extended(97, 61, 2, *chunks)
            yield f"{name}-animation-not-announced-{what}.webp", extended(97, 61, 0, *chunks)

    yield "alpha.webp", extended(97, 61, 16, alpha, image_of_alpha)
    yield "alpha-not-announced.webp", extended(97, 61, 0, alpha, image_of_alpha)
    yield "alpha-behind.webp", extended(97, 61, 16, image_of_alpha, alpha)
    yield "alpha-twice.webp", extended(97, 61, 16, alpha, alpha, image_of_alpha)
    yield "alpha-before-lossless.webp", extended(97, 61, 16, alpha, lossless)
    yield "alpha-alone.webp", extended(97, 61, 16, alpha)
    yield "alpha-before-another-chunk.webp", extended(97, 61, 16, alpha, riff_chunk(b"abcd", b"xy"), image_of_alpha)
    yield "alpha-in-a-simple-file.webp", container(alpha, image_of_alpha)
    for size in (4, 9, 11, 12, 99):
        head = riff_chunk(b"VP8X", (bytes(4) + three(96) + three(60)).ljust(size, b"\0")[:size])
        yield f"canvas-header-of-{size}-bytes.webp", container(head, lossy)
    yield "canvas-header-twice.webp", extended(97, 61, 0, riff_chunk(b"VP8X", bytes(4) + three(96) + three(60)), lossy)
    yield "canvas-alone.webp", extended(97, 61, 0)
    yield "canvas-and-half-a-header.webp", extended(97, 61, 0, lossy, b"abcd")
    yield "canvas-and-unknown.webp", extended(97, 61, 0, lossy, riff_chunk(b"abcd", b"xyz"))
    yield "canvas-and-chunk-beyond.webp", extended(97, 61, 0, lossy, riff_chunk(b"abcd", b"xyz", 900))
    yield "canvas-with-chunks-by-the-thousand.webp", extended(97, 61, 0, riff_chunk(b"abcd", b"") * 20_000, lossy)
    yield "upper-case.webp", container(lossy).replace(b"VP8 ", b"vp8 ", 1)
    yield "another-riff.webp", b"RIFF" + struct.pack("<L", 40) + b"WAVEfmt " + bytes(28)
    for size in (0, 4, 8, 11, 12, 16, 20, 29, 30):
        yield f"first-{size}-bytes.webp", container(lossy)[:size]
        yield f"container-of-{size}.webp", b"RIFF" + struct.pack("<L", size) + container(lossy)[8:]
    whole = saved(frames()[0], "WEBP", save_all=True, append_images=frames()[1:])
    yield "animation-with-a-frame-less.webp", whole[:4] + struct.pack("<L", len(whole) - 8 - 40) + whole[8:-40]
