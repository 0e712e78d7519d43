"""The Inception network of FID, from either of its two published files, without the resize that libraries hide in it.

Both files hold the TensorFlow network of 2015-12-05. One is a TorchScript program (StyleGAN2-ADA, clean-fid), the other
a state dict (pytorch-fid, torch-fidelity, every legacy protocol). A module here maps (B, 3, 299, 299) in the range of
its protocol to (B, 2048) pool3 features.
"""

from __future__ import annotations

import io
import pickle
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from storybench.errors import AssetError, ConfigError

WIDTH = 2048


class _Pool3(nn.Module):
    """Layers in order, then one row a picture."""

    def __init__(self, layers: nn.Module) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, pixels: Tensor) -> Tensor:
        return self.layers(pixels).flatten(1)  # (B, 2048)


def from_state_dict(path: Path) -> nn.Module:
    """Return the network of torch-fidelity with the weights of ``pt_inception-2015-12-05-6726825d.pth``.

    The file is read as tensors only; nothing in it is executed.

    Raises:
        AssetError: If the file is no state dict of this network.
        ConfigError: If torch-fidelity is not installed.
    """
    try:
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
    except ImportError as error:
        raise ConfigError("Inception features need torch-fidelity: pip install 'storybench[fid]'.") from error
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        clean = io.BytesIO()  # its constructor insists on reading a file, and would unpickle anything
        torch.save({name: tensor for name, tensor in state.items() if isinstance(tensor, Tensor)}, clean)
        clean.seek(0)
        whole = FeatureExtractorInceptionV3("pool3", ["2048"], feature_extractor_weights_path=clean)
    except (RuntimeError, OSError, EOFError, AttributeError, KeyError, ValueError, pickle.UnpicklingError) as error:
        raise AssetError(
            f"'{path}' is not the state dict of FID's Inception ({str(error).splitlines()[0]}); fetch it again."
        ) from error
    parts = list(whole.children())
    assert isinstance(parts[-2], nn.AdaptiveAvgPool2d)  # then fc, which pool3 does not see
    return _Pool3(nn.Sequential(*parts[:-1]))


def from_script(path: Path) -> nn.Module:
    """Return the network of the TorchScript file ``inception-2015-12-05.pt`` without its own resize.

    A TorchScript file is a program: its hash must have been checked before.

    Raises:
        AssetError: If the file is no such program.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # the format is old and so is the published file
            layers = torch.jit.load(str(path), map_location="cpu").layers
    except (RuntimeError, OSError, ValueError, AttributeError) as error:
        raise AssetError(
            f"'{path}' is not the TorchScript Inception ({str(error).splitlines()[0]}); fetch it again."
        ) from error
    return _Pool3(layers)
