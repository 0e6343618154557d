"""Pictures as programs write them: Pillow, libvips, and the encoders of imagecodecs (libjpeg-turbo, libpng, libspng, giflib)."""

from collections.abc import Iterator
from io import BytesIO

import imagecodecs
import numpy
import pyvips
from PIL import Image, PngImagePlugin

File = tuple[str, bytes]
WIDTH, HEIGHT = 97, 61


def picture(mode: str = "RGB", width: int = WIDTH, height: int = HEIGHT) -> Image.Image:
    """Neither flat nor noise, and wider than high, so that a turn shows."""
    across, down = numpy.meshgrid(numpy.arange(width), numpy.arange(height))
    grain = numpy.random.default_rng(7).integers(0, 24, (height, width))
    parts = [across * 2 % 256, down * 3 % 256, (across + down) % 256]
    pixels = numpy.stack([(part + grain) % 256 for part in parts], axis=-1).astype("uint8")
    image = Image.fromarray(pixels)
    if mode == "I;16":
        return Image.fromarray(pixels[:, :, 0].astype("uint16") * 257)
    if mode == "P":
        return image.quantize(64)
    if mode in ("RGBA", "LA"):
        image.putalpha(Image.fromarray(pixels[:, :, 2]))
    return image.convert(mode)


def saved(image: Image.Image, form: str, **options: object) -> bytes:
    target = BytesIO()
    image.save(target, form, **options)
    return target.getvalue()


def frames(count: int = 3, mode: str = "RGB") -> list[Image.Image]:
    first = picture(mode)
    return [first.rotate(90 * turn) for turn in range(count)]


def jpeg() -> Iterator[File]:
    for mode in ("L", "RGB", "CMYK", "YCbCr", "1"):
        for options in ({}, {"progressive": True}, {"optimize": True}, {"quality": 3}, {"quality": 100}):
            yield (
                f"{mode}-{'-'.join(map(str, options)) or 'plain'}-{options.get('quality', 75)}.jpg",
                saved(picture(mode), "JPEG", **options),
            )
    for subsampling in range(3):
        yield f"subsampling-{subsampling}.jpg", saved(picture(), "JPEG", subsampling=subsampling)
    for option in (
        {"restart_marker_blocks": 1},
        {"restart_marker_rows": 1},
        {"dpi": (300, 300)},
        {"comment": "x" * 65_000},
        {"keep_rgb": True},
    ):
        yield f"{next(iter(option))}.jpg", saved(picture(), "JPEG", **option)
    tables, rest = (saved(picture(), "JPEG", streamtype=kind) for kind in (1, 2))
    yield "tables-first.jpg", tables + rest
    yield "tables-alone.jpg", tables
    yield "without-tables.jpg", rest
    for width, height in ((1, 1), (1, 200), (200, 1), (8, 8), (2000, 3), (900, 601)):
        yield f"size-{width}x{height}.jpg", saved(picture("RGB", width, height), "JPEG")
    yield "many-pictures.jpg", saved(picture(), "MPO", save_all=True, append_images=frames()[1:])
    pixels = numpy.asarray(picture())
    for space in ("RGB", "YCBCR", "GRAYSCALE"):
        yield (
            f"turbo-{space.lower()}.jpg",
            imagecodecs.jpeg8_encode(
                numpy.ascontiguousarray(pixels[:, :, 0]) if space == "GRAYSCALE" else pixels, outcolorspace=space
            ),
        )
    cmyk = numpy.asarray(picture("CMYK"))
    for space in ("CMYK", "YCCK"):
        yield f"turbo-{space.lower()}.jpg", imagecodecs.jpeg8_encode(cmyk, colorspace="CMYK", outcolorspace=space)
    for predictor in range(1, 8):
        yield f"lossless-{predictor}.jpg", imagecodecs.jpeg8_encode(pixels, lossless=True, predictor=predictor)
    yield "lossless-grey.jpg", imagecodecs.jpeg8_encode(numpy.ascontiguousarray(pixels[:, :, 0]), lossless=True)
    yield "twelve-bit.jpg", imagecodecs.jpeg8_encode(pixels.astype("uint16") * 16, bitspersample=12)
    yield (
        "lossless-sixteen-bit.jpg",
        imagecodecs.ljpeg_encode(numpy.ascontiguousarray(pixels[:, :, 0]).astype("uint16") * 256, bitspersample=16),
    )
    grey = pyvips.Image.new_from_array(pixels)
    for name, options in {
        "plain": {},
        "interlaced": {"interlace": True},
        "trellis": {"trellis_quant": True, "overshoot_deringing": True, "optimize_scans": True, "interlace": True},
        "subsample-off": {"subsample_mode": "off"},
        "restart": {"restart_interval": 2},
        "profile": {"profile": "srgb"},
        "profile-p3": {"profile": "p3"},
    }.items():
        yield f"vips-{name}.jpg", grey.copy(interpretation="srgb").jpegsave_buffer(**options)
    cmyk = grey.copy(interpretation="srgb").icc_export(output_profile="cmyk")
    yield "vips-cmyk-with-its-profile.jpg", cmyk.jpegsave_buffer()


def png() -> Iterator[File]:
    for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"):
        for level in (0, 1, 9):
            yield f"{mode.replace(';', '')}-level-{level}.png", saved(picture(mode), "PNG", compress_level=level)
    for bits in (1, 2, 4):
        yield f"palette-{bits}-bit.png", saved(picture().quantize(2**bits), "PNG", bits=bits)
    yield "transparent-colour.png", saved(picture(), "PNG", transparency=(1, 2, 3))
    yield "transparent-palette.png", saved(picture("P"), "PNG", transparency=bytes(range(64)))
    for width, height in ((1, 1), (1, 300), (300, 1), (3, 3), (900, 601)):
        yield f"size-{width}x{height}.png", saved(picture("RGB", width, height), "PNG")
    texts = PngImagePlugin.PngInfo()
    texts.add_text("Title", "a" * 200)
    texts.add_text("Comment", "b" * 20_000, zip=True)
    texts.add_itxt("Author", "c" * 200, "en", "Author", zip=True)
    yield "texts.png", saved(picture(), "PNG", pnginfo=texts, dpi=(72, 72))
    for count in (2, 5):
        yield (
            f"animation-{count}.png",
            saved(frames()[0], "PNG", save_all=True, append_images=frames(count)[1:], duration=50),
        )
    yield (
        "animation-with-default.png",
        saved(picture(), "PNG", save_all=True, append_images=frames()[1:], default_image=True),
    )
    for mode in ("L", "RGB", "RGBA"):
        pixels = numpy.asarray(picture(mode))
        yield f"libpng-{mode}.png", imagecodecs.png_encode(pixels, level=6)
        yield f"spng-{mode}.png", imagecodecs.spng_encode(pixels)
        yield f"libpng-16-bit-{mode}.png", imagecodecs.png_encode(pixels.astype("uint16") * 257)
    source = pyvips.Image.new_from_array(numpy.asarray(picture())).copy(interpretation="srgb")
    for name, options in {
        "plain": {},
        "interlaced": {"interlace": True},
        "palette": {"palette": True},
        "palette-interlaced": {"palette": True, "interlace": True, "bitdepth": 4},
        "profile": {"profile": "p3"},
        "filters": {"filter": "all"},
    }.items():
        yield f"vips-{name}.png", source.pngsave_buffer(**options)
    yield "vips-grey-interlaced.png", source.colourspace("b-w").pngsave_buffer(interlace=True, bitdepth=1)
    yield "vips-16-bit-interlaced.png", source.colourspace("rgb16").pngsave_buffer(interlace=True)


def webp() -> Iterator[File]:
    for mode in ("RGB", "RGBA", "L", "P"):
        for name, options in {
            "lossy": {},
            "lossless": {"lossless": True},
            "low": {"quality": 1},
            "exact": {"lossless": True, "exact": True},
        }.items():
            yield f"{mode}-{name}.webp", saved(picture(mode), "WEBP", **options)
    for size in ((1, 1), (1, 99), (99, 1), (16, 16), (17, 15), (900, 601)):
        for lossless in (False, True):
            yield (
                f"size-{size[0]}x{size[1]}-{'lossless' if lossless else 'lossy'}.webp",
                saved(picture("RGB", *size), "WEBP", lossless=lossless),
            )
    for mode in ("RGB", "RGBA"):
        for name, options in {
            "lossy": {},
            "lossless": {"lossless": True},
            "mixed": {"allow_mixed": True},
            "small": {"minimize_size": True},
        }.items():
            yield (
                f"animation-{mode}-{name}.webp",
                saved(frames()[0], "WEBP", save_all=True, append_images=frames(4, mode)[1:], **options),
            )
    yield "profile.webp", saved(picture(), "WEBP", icc_profile=b"p" * 3_001)
    yield "xmp.webp", saved(picture(), "WEBP", xmp=b"<x/>" * 100)
    source = pyvips.Image.new_from_array(numpy.asarray(picture("RGBA"))).copy(interpretation="srgb")
    for name, options in {
        "plain": {},
        "near": {"near_lossless": True},
        "smart": {"smart_subsample": True},
        "profile": {"profile": "p3"},
    }.items():
        yield f"vips-{name}.webp", source.webpsave_buffer(**options)


def gif() -> Iterator[File]:
    for mode in ("1", "L", "P", "RGB", "RGBA"):
        for interlace in (0, 1):
            yield f"{mode}-interlace-{interlace}.gif", saved(picture(mode), "GIF", interlace=interlace)
    for size in ((1, 1), (1, 300), (300, 1), (900, 601)):
        yield f"size-{size[0]}x{size[1]}.gif", saved(picture("P", *size), "GIF")
    yield "comment.gif", saved(picture("P"), "GIF", comment=b"c" * 3_000)
    yield "transparent.gif", saved(picture("P"), "GIF", transparency=3)
    for name, options in {
        "plain": {},
        "loop": {"loop": 0},
        "dispose-2": {"disposal": 2},
        "dispose-3": {"disposal": 3},
    }.items():
        yield (
            f"animation-{name}.gif",
            saved(frames(4, "P")[0], "GIF", save_all=True, append_images=frames(4, "P")[1:], **options),
        )
    yield "giflib.gif", imagecodecs.gif_encode(numpy.asarray(picture("P")))
    yield (
        "giflib-animation.gif",
        imagecodecs.gif_encode(numpy.stack([numpy.asarray(frame) for frame in frames(2, "P")])),
    )
    source = pyvips.Image.new_from_array(numpy.asarray(picture("RGBA"))).copy(interpretation="srgb")
    for name, options in {"plain": {}, "interlaced": {"interlace": True}, "few-colours": {"bitdepth": 2}}.items():
        yield f"vips-{name}.gif", source.gifsave_buffer(**options)
