"""The id of ViStoryBench's view names all that decides it: a cache must not take one view for another."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import (
    BertConfig,
    BertTokenizerFast,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
    GroundingDinoConfig,
    GroundingDinoForObjectDetection,
    GroundingDinoImageProcessor,
    GroundingDinoProcessor,
    SwinConfig,
)

from storybench.perception.peers import CLIP_L14
from storybench.perception.peers.cids import CidsFigures
from storybench.perception.peers.opening import open_peer

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "character", "."]


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clip")
    small = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2}
    CLIPVisionModelWithProjection(
        CLIPVisionConfig(**small, image_size=32, patch_size=16, projection_dim=8)
    ).save_pretrained(folder)
    return open_peer(CLIP_L14, folder)


@pytest.fixture(scope="module")
def detector():
    torch.manual_seed(0)
    swin = SwinConfig(
        image_size=64, patch_size=4, embed_dim=8, depths=[1, 1, 1, 1], num_heads=[1, 1, 2, 2], window_size=4,
        out_features=["stage2", "stage3", "stage4"],
    )  # fmt: skip
    text = BertConfig(
        vocab_size=len(WORDS), hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
    )
    config = GroundingDinoConfig(
        backbone_config=swin, text_config=text, d_model=32, num_queries=4, encoder_layers=1, decoder_layers=2,
        encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=16, decoder_ffn_dim=16,
    )  # fmt: skip
    return GroundingDinoForObjectDetection(config)


def processor(side):
    images = GroundingDinoImageProcessor(size={"shortest_edge": side, "longest_edge": 192})
    return GroundingDinoProcessor(images, BertTokenizerFast(vocab={w: i for i, w in enumerate(WORDS)}))


def test_the_id_names_whose_a_reference_is_and_how_pictures_are_prepared(detector, clip):
    rng = np.random.default_rng(0)
    a, b, c = (Image.fromarray(rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)) for _ in range(3))
    casts = [{"Ann": [a, b], "Bob": [c]}, {"Ann": [a], "Bob": [b, c]}, {"Ann": [a, b], "Zoe": [c]}]
    ids = [CidsFigures(detector, processor(96), clip, cast, "0" * 64).id for cast in casts]
    assert len(set(ids)) == 3
    assert CidsFigures(detector, processor(96), clip, casts[0], "0" * 64).id == ids[0]
    assert CidsFigures(detector, processor(128), clip, casts[0], "0" * 64).id != ids[0]
