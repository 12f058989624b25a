"""Tokenizers and the networks that read their tokens, tiny, with random weights; pipelines are others' business."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from support.tiny.autoencoders import SIZE

WIDTH = 128  # of every text encoder; 128 * 128 is sdnq's least size of a layer
WORDS = ["a", "red", "green", "blue", "small", "large", "cat", "dog", "house", "tree", "boat", "of", "in", "the", "on"]


def clip_tokenizer() -> Any:
    from transformers import CLIPTokenizer

    pieces = ["<|startoftext|>", "<|endoftext|>"]
    letters = [chr(code) for code in range(33, 127)]
    vocabulary = [*pieces, *letters, *(letter + "</w>" for letter in letters)]
    return CLIPTokenizer(
        vocab={piece: number for number, piece in enumerate(vocabulary)}, merges=[],
        bos_token=pieces[0], eos_token=pieces[1], unk_token=pieces[1], pad_token=pieces[1], model_max_length=77,
    )  # fmt: skip


def t5_tokenizer() -> Any:
    from transformers import T5Tokenizer

    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    pieces += [("\N{LOWER ONE EIGHTH BLOCK}" + word, -float(rank)) for rank, word in enumerate(WORDS)]
    pieces += [(chr(code), -100.0) for code in range(33, 127)] + [("\N{LOWER ONE EIGHTH BLOCK}", -99.0)]
    return T5Tokenizer(vocab=pieces, extra_ids=0, model_max_length=32)


def qwen_tokenizer() -> Any:
    from transformers import Qwen2Tokenizer

    pieces = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    # Its alphabet is of bytes: a space is written \u0120, the end of a line \u010a.
    letters = [*(chr(code) for code in range(33, 127)), "\u0120", "\u010a"]
    made = Qwen2Tokenizer(
        vocab={piece: number for number, piece in enumerate([*pieces, *letters])}, merges=[],
        eos_token=pieces[2], pad_token=pieces[0], unk_token=pieces[0], model_max_length=512,
    )  # fmt: skip
    made.chat_template = (
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    return made


def clip(tokenizer: Any, projected: bool = False, width: int = WIDTH) -> Any:
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    config = CLIPTextConfig(
        vocab_size=len(tokenizer), hidden_size=width, intermediate_size=2 * width, projection_dim=width,
        num_hidden_layers=2, num_attention_heads=4, max_position_embeddings=77,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    return (CLIPTextModelWithProjection if projected else CLIPTextModel)(config)


def t5(tokenizer: Any) -> Any:
    from transformers import T5Config, T5EncoderModel

    config = T5Config(
        vocab_size=len(tokenizer), d_model=WIDTH, d_ff=2 * WIDTH, d_kv=32, num_heads=4, num_layers=2,
        feed_forward_proj="gated-gelu", pad_token_id=0, eos_token_id=1, decoder_start_token_id=0,
    )  # fmt: skip
    return T5EncoderModel(config)


def qwen_config(tokenizer: Any, **options: Any) -> Any:
    from transformers import Qwen3Config

    return Qwen3Config(**{
        "vocab_size": len(tokenizer), "hidden_size": WIDTH, "intermediate_size": 2 * WIDTH, "num_hidden_layers": 2,
        "head_dim": 32, "num_attention_heads": 4, "num_key_value_heads": 4, "max_position_embeddings": 512,
        "bos_token_id": tokenizer.pad_token_id, "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id, **options,
    })  # fmt: skip


def qwen(tokenizer: Any) -> Any:
    from transformers import Qwen3Model

    return Qwen3Model(qwen_config(tokenizer))


def qwen_vl(tokenizer: Any, marks: Sequence[int] = (1, 2, 3, 4, 5), **vision: Any) -> Any:
    """Return an encoder of texts and pictures: `marks` begin and end a picture, and stand for what is in one."""
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    start, end, some, image, video = marks
    return Qwen2_5_VLForConditionalGeneration(Qwen2_5_VLConfig(
        text_config={
            "vocab_size": len(tokenizer), "hidden_size": WIDTH, "intermediate_size": 2 * WIDTH, "num_hidden_layers": 2,
            "num_attention_heads": 4, "num_key_value_heads": 2, "rope_theta": 1000000.0,
            "rope_scaling": {"mrope_section": [4, 6, 6], "rope_type": "default", "type": "default"},
            "bos_token_id": None, "eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id,
        },
        vision_config={
            "depth": 1, "hidden_size": 64, "intermediate_size": 64, "num_heads": 2, "out_hidden_size": WIDTH,
        } | vision,
        hidden_size=WIDTH, vocab_size=len(tokenizer), vision_start_token_id=start, vision_end_token_id=end,
        vision_token_id=some, image_token_id=image, video_token_id=video,
    ))  # fmt: skip


def image_encoder() -> Any:
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    return CLIPVisionModelWithProjection(CLIPVisionConfig(
        hidden_size=WIDTH, intermediate_size=2 * WIDTH, projection_dim=WIDTH, num_hidden_layers=2,
        num_attention_heads=4, image_size=SIZE, patch_size=16,
    ))  # fmt: skip


def siglip() -> Any:
    from transformers import SiglipVisionConfig, SiglipVisionModel

    return SiglipVisionModel(SiglipVisionConfig(
        hidden_size=WIDTH, intermediate_size=2 * WIDTH, num_hidden_layers=2, num_attention_heads=4, image_size=SIZE,
        patch_size=16,
    ))  # fmt: skip


def gemma(tokenizer: Any) -> Any:
    from transformers import Gemma2Config, Gemma2Model

    return Gemma2Model(Gemma2Config(
        vocab_size=len(tokenizer), hidden_size=WIDTH, intermediate_size=2 * WIDTH, num_hidden_layers=2, head_dim=32,
        num_attention_heads=4, num_key_value_heads=4, max_position_embeddings=512, pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.pad_token_id, eos_token_id=tokenizer.eos_token_id,
    ))  # fmt: skip


def bert_tokenizer() -> Any:
    from transformers import BertTokenizer

    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *("##" + letter for letter in letters)]
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    return BertTokenizer(vocab=vocabulary, model_max_length=77)


def bert(tokenizer: Any) -> Any:
    from transformers import BertConfig, BertModel

    return BertModel(BertConfig(
        vocab_size=len(tokenizer), hidden_size=WIDTH, intermediate_size=2 * WIDTH, num_hidden_layers=2,
        num_attention_heads=4, pad_token_id=tokenizer.pad_token_id,
    ))  # fmt: skip


def roberta_tokenizer() -> Any:
    from transformers import RobertaTokenizer

    pieces = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    # Its alphabet is of bytes: a space is written \u0120.
    letters = [*(chr(code) for code in range(33, 127)), "\u0120"]
    return RobertaTokenizer(
        vocab={piece: number for number, piece in enumerate([*pieces, *letters])}, merges=[], model_max_length=77
    )


def clap(tokenizer: Any) -> Any:
    """The encoder that says what a sound is about, without the one that hears it."""
    from transformers import ClapTextConfig, ClapTextModelWithProjection

    return ClapTextModelWithProjection(ClapTextConfig(
        vocab_size=len(tokenizer), hidden_size=WIDTH, intermediate_size=2 * WIDTH, projection_dim=WIDTH,
        num_hidden_layers=2, num_attention_heads=4, max_position_embeddings=100,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    ))  # fmt: skip
