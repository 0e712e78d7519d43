"""BLIP-2, CLIP and SigLIP from local folders: tiny random models in the format of the real ones."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image

from storybench.errors import AssetError
from storybench.perception.captioning.blip2 import BATCH, BEAMS, MAX_NEW_TOKENS, Blip2Captioner
from storybench.perception.captioning.contrastive import ContrastiveJudge
from storybench.perception.captioning.local import folder_hash
from storybench.perception.captioning.observer import CaptionFitObserver, CaptionObserver

WORDS = ["<pad>", "<s>", "</s>", "<unk>", "<image>", "Zara", "runs", "on", "the", "beach", "sleeps", "."]
TEXTS = ("Zara runs on the beach.", "Zara sleeps.", "The beach.")
TINY = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
VISION = {**TINY, "image_size": 28, "patch_size": 14}


def pictures(count):
    rng = np.random.default_rng(0)
    return [Image.fromarray(rng.integers(0, 255, (128, 128, 3), dtype=np.uint8)) for _ in range(count)]


def tokenizer(start):
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    inner = Tokenizer(models.WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    parts = [(s, WORDS.index(s)) for s in {start, "</s>"}]
    single = "</s> $A" if start == "</s>" else "<s> $A </s>"
    inner.post_processor = processors.TemplateProcessing(single=single, special_tokens=parts)
    names = {"pad_token": "<pad>", "bos_token": start, "eos_token": "</s>", "unk_token": "<unk>"}
    return PreTrainedTokenizerFast(tokenizer_object=inner, additional_special_tokens=["<image>"], **names)


@pytest.fixture(scope="module")
def blip2(tmp_path_factory):
    from transformers import Blip2Config, Blip2ForConditionalGeneration, Blip2Processor, BlipImageProcessor

    torch.manual_seed(0)
    text = {"model_type": "opt", "vocab_size": len(WORDS), "hidden_size": 16, "word_embed_proj_dim": 16, "ffn_dim": 16}
    text |= {"num_hidden_layers": 1, "num_attention_heads": 2, "max_position_embeddings": 64}
    text |= {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 2}
    config = Blip2Config(
        vision_config=VISION,
        qformer_config={**TINY, "vocab_size": len(WORDS), "encoder_hidden_size": 16},
        text_config=text,
        num_query_tokens=4,
        image_token_index=WORDS.index("<image>"),
    )
    folder = tmp_path_factory.mktemp("blip2")
    model = Blip2ForConditionalGeneration(config)
    with torch.no_grad():  # random weights of the usual size all but ignore the picture
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=0.4)
    model.save_pretrained(folder)
    images = BlipImageProcessor(size={"height": 28, "width": 28})
    Blip2Processor(images, tokenizer("</s>"), num_query_tokens=4).save_pretrained(folder)
    return folder


def contrastive_folder(folder, kind):
    from transformers import (
        CLIPConfig,
        CLIPImageProcessor,
        CLIPModel,
        CLIPProcessor,
        SiglipConfig,
        SiglipImageProcessor,
        SiglipModel,
        SiglipProcessor,
    )

    torch.manual_seed(0)
    text = {**TINY, "vocab_size": len(WORDS), "max_position_embeddings": 12}
    text |= {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "projection_size": 16, "projection_dim": 16}
    vision = {**VISION, "projection_dim": 16}
    if kind == "clip":
        images = CLIPImageProcessor(size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28})
        model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=16))
        processor = CLIPProcessor(images, tokenizer("<s>"))
    else:
        images = SiglipImageProcessor(size={"height": 28, "width": 28})
        model, processor = (
            SiglipModel(SiglipConfig(text_config=text, vision_config=vision)),
            SiglipProcessor(images, tokenizer("<s>")),
        )
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def test_blip2_says_the_best_of_five_beams_of_its_library(blip2):
    from transformers import AutoProcessor, Blip2ForConditionalGeneration

    captioner = Blip2Captioner.from_folder(blip2)
    images = pictures(BATCH + 1)
    said = captioner.caption(images)
    model = Blip2ForConditionalGeneration.from_pretrained(blip2).eval()
    processor = AutoProcessor.from_pretrained(blip2)
    for image, text in zip(images, said, strict=True):
        given = processor(images=image, text="", return_tensors="pt")
        tokens = model.generate(**given, num_beams=BEAMS, max_new_tokens=MAX_NEW_TOKENS, do_sample=False)
        assert text == processor.decode(tokens[0], skip_special_tokens=True).strip()
    assert all(text and len(text.split()) <= MAX_NEW_TOKENS for text in said)
    assert captioner.caption(images[::-1])[::-1] == said


def test_blip2_fit_is_the_likelihood_of_the_words_after_the_picture(blip2):
    captioner = Blip2Captioner.from_folder(blip2)
    image, grey = pictures(1)[0], Image.new("RGB", (128, 128), (128, 128, 128))
    (fit,) = captioner.fit([image], [TEXTS])

    def by_loss(picture, text):
        given = captioner.processor(images=picture, text=text, return_tensors="pt")
        labels = given["input_ids"].clone()
        labels[:, :5] = -100  # four places of the picture and the start
        with torch.no_grad():
            return -captioner.model(**given, labels=labels).loss.item() * (labels != -100).sum().item()

    expected = [by_loss(image, text) - by_loss(grey, text) for text in TEXTS]
    np.testing.assert_allclose(fit, expected, atol=1e-3)  # sums of float32 logarithms; other padding
    assert np.abs(fit).max() > 0.01  # the picture is felt
    assert captioner.fit([grey], [TEXTS])[0].tolist() == [0.0] * 3


@pytest.mark.parametrize("kind", ["clip", "siglip"])
def test_contrastive_judges_give_the_logits_of_their_library(tmp_path, kind):
    from transformers import AutoModel, AutoProcessor

    folder = contrastive_folder(tmp_path / kind, kind)
    judge = ContrastiveJudge.from_folder(folder)
    images = pictures(2)
    fits = judge.fit(images, [TEXTS, TEXTS[:2]])
    assert [f.shape for f in fits] == [(3,), (2,)]
    given = AutoProcessor.from_pretrained(folder)(
        text=list(TEXTS), images=images[:1], return_tensors="pt", padding="max_length", max_length=12
    )
    with torch.no_grad():
        expected = AutoModel.from_pretrained(folder).eval()(**given).logits_per_image[0].double().numpy()
    np.testing.assert_array_equal(fits[0], expected)
    assert len(set(fits[0].tolist())) == 3
    again = judge.fit(images[::-1], [TEXTS[:2], TEXTS])[::-1]
    assert all(np.array_equal(a, b) for a, b in zip(fits, again, strict=True))
    assert judge.id.startswith(f"{kind}-")


def test_the_id_follows_the_bytes_of_the_folder(blip2, tmp_path):
    captioner = Blip2Captioner.from_folder(blip2)
    assert captioner.id == f"blip2-beam5-{folder_hash(blip2)[:12]}"
    assert Blip2Captioner.from_folder(blip2, dtype=torch.bfloat16).id == f"{captioner.id}-bfloat16"
    before = folder_hash(blip2)
    (tmp_path / "a.json").write_text("{}")
    one = folder_hash(tmp_path)
    (tmp_path / "a.json").write_text("[]")
    assert len({before, one, folder_hash(tmp_path)}) == 3


def test_pretrained_captioners_are_observers_too(blip2):
    captioner = Blip2Captioner.from_folder(blip2)
    images = pictures(1)
    words, fit = CaptionObserver(captioner), CaptionFitObserver(captioner)
    assert [words.value(kept) for kept in words.observe(images, [TEXTS])] == captioner.caption(images)
    assert fit.value(fit.observe(images, [TEXTS])[0]).shape == (3,)


def test_foreign_folders_end_in_one_sentence(tmp_path):
    with pytest.raises(AssetError, match=r"expected config\.json"):
        Blip2Captioner.from_folder(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(AssetError, match="type 'bert'"):
        Blip2Captioner.from_folder(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "clip"}))
    (tmp_path / "pytorch_model.bin").write_bytes(b"pickle")
    with pytest.raises(AssetError, match=r"no \*\.safetensors"):
        ContrastiveJudge.from_folder(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(AssetError, match="is not JSON"):
        ContrastiveJudge.from_folder(tmp_path)
