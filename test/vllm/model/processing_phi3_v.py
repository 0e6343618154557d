import math
import re

import numpy as np
import torch
import transformers
from PIL import Image
from transformers import AutoImageProcessor
from transformers.image_processing_utils import BaseImageProcessor, BatchFeature
from transformers.processing_utils import ProcessorMixin

TILE = 336
MARK = re.compile(r"<\|image_(\d+)\|>")


def grid(width, height, crops):
    """Columns and rows of 336 px tiles that an image is scaled up (never left small) to fill."""
    turned = width < height
    if turned:
        width, height = height, width
    ratio = width / height
    long = 1
    while (long + 1) * math.ceil((long + 1) / ratio) <= crops:
        long += 1
    short = math.ceil(int(long * TILE / ratio) / TILE)
    return (short, long) if turned else (long, short)


def tokens_for(cols, rows):
    return (cols * rows + 1) * 144 + 1 + (rows + 1) * 12


class Phi3VImageProcessor(BaseImageProcessor):
    model_input_names = ["pixel_values"]

    def __init__(self, num_crops=1, image_mean=None, image_std=None, do_convert_rgb=True, **rest):
        super().__init__(**rest)
        self.num_crops = num_crops
        self.image_mean = image_mean or [0.48145466, 0.4578275, 0.40821073]
        self.image_std = image_std or [0.26862954, 0.26130258, 0.27577711]
        self.do_convert_rgb = do_convert_rgb

    def calc_num_image_tokens_from_image_size(self, width, height):
        return tokens_for(*grid(width, height, self.num_crops))

    def preprocess(self, images, return_tensors=None, num_crops=None, **_):
        crops = num_crops or self.num_crops
        batch, sizes, counts = [], [], []
        for img in images if isinstance(images, (list, tuple)) else [images]:
            img = (img if isinstance(img, Image.Image) else Image.fromarray(np.asarray(img))).convert("RGB")
            cols, rows = grid(*img.size, crops)
            scale = min(cols * TILE / img.width, rows * TILE / img.height)
            fit = img.resize((max(1, round(img.width * scale)), max(1, round(img.height * scale))))
            page = Image.new("RGB", (cols * TILE, rows * TILE), (255, 255, 255))
            page.paste(fit, ((page.width - fit.width) // 2, (page.height - fit.height) // 2))
            flat = (np.asarray(page, dtype=np.float32) / 255 - self.image_mean) / self.image_std
            t = torch.tensor(flat, dtype=torch.float32).permute(2, 0, 1)
            small = torch.nn.functional.interpolate(t[None], size=(TILE, TILE), mode="bicubic")
            tiles = t.reshape(3, rows, TILE, cols, TILE).permute(1, 3, 0, 2, 4).reshape(-1, 3, TILE, TILE)
            every = torch.zeros(crops + 1, 3, TILE, TILE)
            every[: 1 + tiles.shape[0]] = torch.cat([small, tiles])
            batch.append(every)
            sizes.append([rows * TILE, cols * TILE])
            counts.append(tokens_for(cols, rows))
        return BatchFeature(data={"pixel_values": torch.stack(batch), "image_sizes": sizes, "num_img_tokens": counts},
                            tensor_type=return_tensors)


AutoImageProcessor.register("Phi3VImageProcessor", Phi3VImageProcessor)
transformers.Phi3VImageProcessor = Phi3VImageProcessor


class Phi3VProcessor(ProcessorMixin):
    attributes = ["image_processor", "tokenizer"]
    image_processor_class = "Phi3VImageProcessor"
    tokenizer_class = ("LlamaTokenizer", "LlamaTokenizerFast")
    special_image_token = "<|image|>"

    def __init__(self, image_processor, tokenizer):
        self.image_processor = image_processor
        self.tokenizer = tokenizer
        self.num_img_tokens = image_processor.num_img_tokens
        self.img_tokens = [f"<|image_{i}|>" for i in range(1, 1001)]

    def calc_num_image_tokens_from_image_size(self, width, height):
        return self.image_processor.calc_num_image_tokens_from_image_size(width, height)

    def __call__(self, text, images=None, return_tensors="pt", **_):
        if isinstance(text, (list, tuple)):
            text = text[0]
        if images is None:
            return BatchFeature(data=dict(self.tokenizer(text, return_tensors=return_tensors)))
        seen = self.image_processor(images, return_tensors=return_tensors)
        ids, at = [], 0
        for hit in MARK.finditer(text):
            ids += self.tokenizer(text[at:hit.start()]).input_ids
            n = int(hit.group(1))
            ids += [-n] * int(seen["num_img_tokens"][n - 1])
            at = hit.end()
        ids += self.tokenizer(text[at:]).input_ids
        ids = torch.tensor([ids], dtype=torch.long)
        return BatchFeature(data={"input_ids": ids, "attention_mask": torch.ones_like(ids),
                                  "pixel_values": seen["pixel_values"], "image_sizes": seen["image_sizes"]})

    def batch_decode(self, *a, **k):
        return self.tokenizer.batch_decode(*a, **k)

    def decode(self, *a, **k):
        return self.tokenizer.decode(*a, **k)

    @property
    def model_input_names(self):
        return [*self.tokenizer.model_input_names, "pixel_values"]
