from transformers.configuration_utils import PretrainedConfig


class Phi3VConfig(PretrainedConfig):
    model_type = "phi3_v"
    keys_to_ignore_at_inference = ["past_key_values"]

    def __init__(self, vocab_size=32064, hidden_size=192, intermediate_size=256, num_hidden_layers=2,
                 num_attention_heads=2, num_key_value_heads=2, hidden_act="silu", max_position_embeddings=131072,
                 original_max_position_embeddings=4096, initializer_range=0.02, rms_norm_eps=1e-5, use_cache=True,
                 tie_word_embeddings=False, rope_theta=10000.0, rope_scaling=None, bos_token_id=1,
                 eos_token_id=32000, pad_token_id=32000, sliding_window=None, embd_layer=None,
                 img_processor=None, **more):
        for name, value in dict(locals()).items():
            if name not in ("self", "more", "__class__", "tie_word_embeddings") and not name.endswith("_token_id"):
                setattr(self, name, value)
        super().__init__(bos_token_id=bos_token_id, eos_token_id=eos_token_id, pad_token_id=pad_token_id,
                         tie_word_embeddings=tie_word_embeddings, **more)
