"""Makes the tokenizer of the tiny model: make-tokenizer.py FILE

Learned from Python's own library, with the outside of Phi-3-vision's: as many pieces, the same special ones in the same
places, byte fallback.
"""

import json
import pathlib
import sys
import sysconfig

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

VOCABULARY = 32064
# Special pieces from here on, learned pieces below.
FIRST_SPECIAL = 32000
SPECIAL = {
    32000: "<|endoftext|>",
    32001: "<|assistant|>",
    32006: "<|system|>",
    32007: "<|end|>",
    32010: "<|user|>",
    32044: "<|image|>",
}
EAT_BLANKS = (32001, 32006, 32007, 32010)
LESSON_CHARACTERS = 12_000_000


def lesson():
    seen = 0
    root = pathlib.Path(sysconfig.get_paths()["stdlib"])
    for path in sorted(root.rglob("*.py")):
        if "site-packages" in path.parts or "test" in path.parts:
            continue
        text = path.read_text(errors="ignore")
        seen += len(text)
        yield from text.splitlines()
        if seen > LESSON_CHARACTERS:
            return


def learned(first):
    """Vocabulary and merges, filled up to the size of the real model's."""
    pupil = Tokenizer(models.BPE(unk_token="<unk>"))
    pupil.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    trainer = trainers.BpeTrainer(
        vocab_size=FIRST_SPECIAL - 256, special_tokens=first[:3], show_progress=False, max_token_length=12
    )
    pupil.train_from_iterator(lesson(), trainer)
    state = json.loads(pupil.to_str())["model"]
    by_rank = sorted(state["vocab"].items(), key=lambda item: item[1])
    vocabulary = {piece: rank for rank, piece in enumerate(first + [p for p, _ in by_rank if p not in first[:3]])}
    filler = 0
    while len(vocabulary) < FIRST_SPECIAL:
        vocabulary.setdefault(f"▁filler{filler}", len(vocabulary))
        filler += 1
    return vocabulary, [tuple(m) if isinstance(m, list) else tuple(m.split(" ")) for m in state["merges"]]


def build():
    first = ["<unk>", "<s>", "</s>"] + [f"<0x{byte:02X}>" for byte in range(256)]
    vocabulary, merges = learned(first)
    made = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    made.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    made.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    made.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", 1)]
    )
    made.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in first[:3]])
    for rank in range(FIRST_SPECIAL, VOCABULARY):
        text = SPECIAL.get(rank, f"<|placeholder{rank - FIRST_SPECIAL}|>")
        made.add_special_tokens([AddedToken(text, special=True, normalized=False, rstrip=rank in EAT_BLANKS)])
    assert made.get_vocab_size() == VOCABULARY and made.token_to_id("<|image|>") == 32044, made.get_vocab_size()
    return made


build().save(sys.argv[1])
