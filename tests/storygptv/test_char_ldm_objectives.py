"""The objectives of stage 1 against hand computation and the library's noise schedule."""

import pytest
import torch
from diffusers import DDPMScheduler, FlowMatchEulerDiscreteScheduler, PNDMScheduler

from storybench.errors import ConfigError
from storygptv.char_ldm.objective import (
    SD_SCHEDULE,
    NoiseLevels,
    Objective,
    denoising_loss,
    min_snr_weights,
    new_scheduler,
    training_alphas,
    union_mask,
)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
def test_paths_and_targets_are_those_of_the_noise_schedule(kind):
    library = DDPMScheduler(prediction_type=kind, **SD_SCHEDULE)
    objective = Objective(kind)
    levels = objective.levels(64, training_alphas(library, objective), seeded())
    z, e = torch.randn(64, 4, 2, 2, generator=seeded(1)), torch.randn(64, 4, 2, 2, generator=seeded(2))
    x, target = objective.path(z, e, levels)
    torch.testing.assert_close(x, library.add_noise(z, e, levels.timesteps))
    torch.testing.assert_close(target, e if kind == "epsilon" else library.get_velocity(z, e, levels.timesteps))
    assert levels.timesteps.unique().numel() > 50  # uniform over 1000


def test_one_sample_of_each_objective_by_hand():
    z, e = torch.tensor(2.0).view(1, 1, 1, 1), torch.tensor(-1.0).view(1, 1, 1, 1)
    half = NoiseLevels(torch.tensor([0.8]), torch.tensor([0.6]), torch.tensor([500]))
    assert [float(v) for v in Objective("epsilon").path(z, e, half)] == pytest.approx([1.0, -1.0])
    assert [float(v) for v in Objective("v_prediction").path(z, e, half)] == pytest.approx([1.0, -2.0])  # .8 e - .6 z
    straight = NoiseLevels(torch.tensor([0.75]), torch.tensor([0.25]), torch.tensor([250.0]))
    assert [float(v) for v in Objective("flow").path(z, e, straight)] == pytest.approx([1.25, -3.0])


def test_min_snr_weights_are_hang_et_als():
    kept = torch.tensor([0.99, 0.9, 0.5, 0.1])
    levels = NoiseLevels(kept.sqrt(), (1 - kept).sqrt(), torch.arange(4))
    snr = [99.0, 9.0, 1.0, 1 / 9]
    epsilon = [min(s, 5) / s for s in snr]
    v = [min(s, 5) / (s + 1) for s in snr]
    assert min_snr_weights(levels, 5.0, "epsilon").tolist() == pytest.approx(epsilon, rel=1e-4)
    assert min_snr_weights(levels, 5.0, "v_prediction").tolist() == pytest.approx(v, rel=1e-4)
    # both weigh the error of the same z: an error in e is one in z times 1 / SNR, one in v times 1 / (SNR + 1)
    in_z = [w * s for w, s in zip(epsilon, snr, strict=True)]
    assert in_z == pytest.approx([w * (s + 1) for w, s in zip(v, snr, strict=True)])
    assert Objective("epsilon", min_snr_gamma=5.0).weights(levels).tolist() == pytest.approx(epsilon, rel=1e-4)
    assert Objective("epsilon").weights(levels) is None


def test_losses_by_hand():
    prediction, target = torch.zeros(2, 1, 2, 2), torch.tensor([1.0, 2.0]).view(2, 1, 1, 1).expand(2, 1, 2, 2)
    assert float(denoising_loss(prediction, target)) == (1 + 4) / 2
    assert float(denoising_loss(prediction, target, torch.tensor([1.0, 0.5]))) == (1 + 2) / 2
    inside = torch.zeros(2, 1, 2, 2)
    inside[1, 0, 0, 0] = 1  # one of eight latents; the first sample has no mask and adds 0
    assert float(denoising_loss(prediction, target, inside=inside)) == 4 / 8
    inside[1, 0, 0, 0] = 0.5  # both sides are multiplied before they are squared
    assert float(denoising_loss(prediction, target, inside=inside)) == 4 * 0.25 / 8
    emphasis = torch.zeros(2, 1, 2, 2)
    emphasis[1] = 1
    assert float(denoising_loss(prediction, target, None, emphasis, 3.0)) == pytest.approx((1 * 1 + 3 * 4) / 4)


def test_the_union_of_masks_takes_only_those_that_exist():
    masks = torch.zeros(1, 3, 8, 8, dtype=torch.bool)
    masks[0, 0, :4], masks[0, 1, :, :4], masks[0, 2] = True, True, True
    union = union_mask(masks, torch.tensor([[True, True, False]]), (4, 4))
    expected = torch.ones(4, 4)
    expected[2:, 2:] = 0
    assert torch.equal(union[0, 0], expected)


def test_the_masked_loss_is_drawn_once_a_batch():
    objective = Objective("epsilon", mask_loss_prob=0.3)
    generator = seeded()
    drawn = sum(objective.masks_this_batch(generator) for _ in range(5000)) / 5000
    assert drawn == pytest.approx(0.3, abs=0.03)
    untouched = seeded(5)
    assert not Objective("epsilon").masks_this_batch(untouched)
    assert torch.rand(1, generator=untouched) == torch.rand(1, generator=seeded(5))


def test_wrong_objectives_are_said_in_one_sentence():
    with pytest.raises(ConfigError, match=r"Unknown objective 'eps'.*epsilon"):
        Objective("eps")
    with pytest.raises(ConfigError, match="min_snr_gamma"):
        Objective("flow", min_snr_gamma=5.0)
    with pytest.raises(ConfigError, match="mask_loss_prob is 30"):
        Objective("epsilon", mask_loss_prob=30)
    for kind in ("flow", "epsilon", "v_prediction"):
        objective = Objective(kind)
        training_alphas(new_scheduler(objective), objective)
        wrong = PNDMScheduler(**SD_SCHEDULE) if kind != "epsilon" else FlowMatchEulerDiscreteScheduler()
        with pytest.raises(ConfigError, match=f"Objective '{kind}' does not fit"):
            training_alphas(wrong, objective)
