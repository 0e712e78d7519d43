"""Peers' definitions and ours against libraries that compute the same."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from lpips import LPIPS
from PIL import Image
from sklearn.metrics import roc_auc_score
from torch.nn import functional as F
from torchmetrics.functional.image.lpips import _LPIPS
from torchmetrics.functional.retrieval import retrieval_reciprocal_rank
from torchvision import transforms
from torchvision.models import alexnet
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, ViTConfig, ViTModel

from storybench.metrics.functional import peers
from storybench.metrics.functional.verification import cosines, verification_auc
from storybench.perception.peers import CLIP_L14, DINO_B16, LPIPS_ALEX
from storybench.perception.peers.opening import open_peer

SMALL = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}
SIDE = 32


def pictures(count, size=(50, 50)):
    rng = np.random.default_rng(0)
    return [Image.fromarray(rng.integers(0, 256, (*size[::-1], 3), dtype=np.uint8)) for _ in range(count)]


@pytest.mark.parametrize("ties", [False, True])
def test_auc_is_that_of_sklearn(ties):
    rng = np.random.default_rng(0)
    for _ in range(20):
        p, q = rng.integers(1, 40, 2)
        score = rng.integers(0, 6, p + q) / 6 if ties else rng.normal(size=p + q)
        truth = np.arange(p + q) < p
        assert verification_auc(score[:p], score[p:]) == pytest.approx(roc_auc_score(truth, score), abs=1e-12)


def test_cosines_are_those_of_torch():
    x, y = torch.randn(2, 6, 9, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    np.testing.assert_allclose(peers.cosine(x, y), F.cosine_similarity(x, y), atol=1e-12)
    np.testing.assert_allclose(cosines(x), F.cosine_similarity(x[:, None], x[None], dim=2), atol=1e-12)


def test_reciprocal_rank_is_that_of_torchmetrics():
    rng = np.random.default_rng(1)
    for _ in range(20):
        scores = rng.uniform(0.1, 1, 8)  # theirs calls a score of 0 or less not found
        truth = torch.zeros(8, dtype=torch.bool)
        truth[0] = True
        theirs = retrieval_reciprocal_rank(torch.tensor(scores), truth)
        assert peers.reciprocal_rank(scores[0], scores[1:]) == pytest.approx(float(theirs), abs=1e-7)  # theirs float32


@pytest.fixture(scope="module")
def trunk(tmp_path_factory):
    """A file like torchvision's AlexNet, random weights."""
    path = tmp_path_factory.mktemp("alexnet") / "alexnet.pth"
    torch.manual_seed(0)
    torch.save(alexnet(weights=None).features.state_dict(prefix="features."), path)
    return path


def with_trunk(metric, path):
    """Put the weights of the file where the library puts torchvision's."""
    state = {k.removeprefix("features."): v for k, v in torch.load(path, weights_only=True).items()}
    for name, tensor in metric.net.state_dict().items():
        tensor.copy_(state[name.split(".", 1)[1]])
    return metric.eval()


@torch.no_grad()
def test_lpips_is_that_of_its_package_and_of_torchmetrics(trunk):
    observer = open_peer(LPIPS_ALEX, trunk)
    a, b = pictures(2, (96, 64))
    one, two = (observer.value(x) for x in observer.observe([a, b]))
    ours = float(peers.squared_distance(one, two))
    x, y = (transforms.functional.to_tensor(i)[None] * 2 - 1 for i in (a, b))
    package = with_trunk(LPIPS(net="alex", pnet_rand=True, verbose=False), trunk)
    theirs = float(package(x, y))
    assert ours == pytest.approx(theirs, rel=1e-5)  # float32 sums of another order
    assert theirs > 1e-3
    other = with_trunk(_LPIPS(net="alex", pnet_rand=True), trunk)
    assert ours == pytest.approx(float(other(x, y)), rel=1e-5)

    layers = [[layer[0].numpy() for layer in package.net(package.scaling_layer(z))] for z in (x, y)]
    weights = [linear.model[-1].weight.flatten().numpy() for linear in package.lins]
    assert peers.lpips_distance(*layers, weights) == pytest.approx(theirs, rel=1e-5)


@torch.no_grad()
def test_clip_features_are_those_of_transformers_from_a_whole_checkpoint(tmp_path):
    """A published folder holds text and vision; only the vision side is read, with CLIP's own preprocessing."""
    torch.manual_seed(0)
    text = {**SMALL, "vocab_size": 40, "max_position_embeddings": 8}
    vision = {**SMALL, "image_size": SIDE, "patch_size": 8, "projection_dim": 12}  # stated twice, as published
    whole = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=12)).eval()
    whole.save_pretrained(tmp_path)
    some = pictures(3)
    processor = CLIPImageProcessor(size={"shortest_edge": SIDE}, crop_size=SIDE)
    vector = whole.vision_model(**processor(some, return_tensors="pt")).pooler_output
    theirs = F.normalize(whole.visual_projection(vector), dim=1).numpy()
    ours = np.stack([x["features"] for x in open_peer(CLIP_L14, tmp_path).observe(some)])
    np.testing.assert_allclose(ours, theirs, atol=2e-3)  # some versions resize tensors, not 8-bit pictures


@torch.no_grad()
def test_dino_features_are_those_of_transformers_after_vbenchs_transform(tmp_path):
    torch.manual_seed(0)
    model = ViTModel(ViTConfig(**SMALL, image_size=SIDE, patch_size=8), add_pooling_layer=False).eval()
    model.save_pretrained(tmp_path)
    some = pictures(3)
    vbench = transforms.Compose(
        [
            transforms.Resize(SIDE),
            transforms.ToTensor(),
            transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ]
    )
    theirs = model(torch.stack([vbench(i) for i in some])).last_hidden_state[:, 0].numpy()
    ours = np.stack([x["features"] for x in open_peer(DINO_B16, tmp_path).observe(some)])
    np.testing.assert_allclose(ours, theirs, atol=1e-5)  # a batch of another shape rounds differently
