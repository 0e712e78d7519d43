"""The word-level tokenizer of the miniature, shared by its CLIP text tower and its OPT model.

Paper scale uses the tokenizers published with CLIP and the LLM; both kinds are fast tokenizers, so that offsets find
the characters' tokens in either (:mod:`storygptv.char_ldm.character_tokens`).
"""

from __future__ import annotations

from collections.abc import Sequence

from tokenizers import Regex, Tokenizer
from tokenizers.models import WordLevel
from tokenizers.normalizers import Replace
from tokenizers.normalizers import Sequence as NormalizerSequence
from tokenizers.pre_tokenizers import Sequence as PreSequence
from tokenizers.pre_tokenizers import Split, WhitespaceSplit
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

SPECIALS = PAD, BOS, EOS, UNK = ("<pad>", "<s>", "</s>", "<unk>")
WORD = r"'s\b|[A-Za-z]+(?:-[A-Za-z]+)*|[0-9]+|[^\sA-Za-z0-9]"  # a word, a possessive ending, a number, or one sign


def build_tokenizer(words: Sequence[str], max_length: int) -> PreTrainedTokenizerFast:
    """Return a tokenizer whose vocabulary is ``words``, in order, after the four special tokens.

    Args:
        words: Word forms; capitals are distinct words, since names differ from nouns by them.
        max_length: Length that ``padding="max_length"`` pads to.
    """
    vocabulary = {word: i for i, word in enumerate(dict.fromkeys((*SPECIALS, *words)))}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token=UNK))
    tokenizer.normalizer = NormalizerSequence([Replace("’", "'")])
    tokenizer.pre_tokenizer = PreSequence([WhitespaceSplit(), Split(Regex(WORD), behavior="isolated")])
    tokenizer.post_processor = TemplateProcessing(
        single=f"{BOS} $A {EOS}", special_tokens=[(BOS, vocabulary[BOS]), (EOS, vocabulary[EOS])]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=BOS,
        eos_token=EOS,
        unk_token=UNK,
        pad_token=PAD,
        model_max_length=max_length,
    )
