"""The tokenizer: GPT-2's byte-pair encoding, with merges learned so that each word of the world is one token."""

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from shapes.captions import corpus
from shapes.tokenizer import learn

MAX_LENGTH = 64
START, REWRITE, END = "<|start|>", "<|rewrite|>", "<|end|>"

TEMPLATE = (
    f"{START}{{% for message in messages %}}{{{{ message['content'] }}}}{{% endfor %}}"
    f"{{% if add_generation_prompt %}}{REWRITE}{{% endif %}}"
)
"""What is said to the model is the short caption; it has no use for a system's message."""

_SPACE = "\N{LATIN CAPITAL LETTER G WITH DOT ABOVE}"  # what a byte-level vocabulary writes for one


def build() -> PreTrainedTokenizerFast:
    """Return the tokenizer; the same on every call."""
    merges = learn([[_SPACE, *word] for word in corpus()])
    pieces = [*sorted(pre_tokenizers.ByteLevel.alphabet()), *dict.fromkeys(a + b for a, b in merges)]
    made = Tokenizer(models.BPE({piece: number for number, piece in enumerate(pieces)}, merges))
    made.add_special_tokens([START, REWRITE, END])
    made.normalizer = normalizers.Lowercase()
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    made.decoder = decoders.ByteLevel()
    start = made.token_to_id(START)
    made.post_processor = processors.TemplateProcessing(single=f"{START} $A", special_tokens=[(START, start)])
    return PreTrainedTokenizerFast(
        tokenizer_object=made, bos_token=START, eos_token=END, pad_token=END, model_max_length=MAX_LENGTH,
        chat_template=TEMPLATE, clean_up_tokenization_spaces=False,
    )  # fmt: skip
