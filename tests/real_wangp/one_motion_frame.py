"""What the modes that hand over one frame, Dance and Talk, have in common on the real loop."""

import numpy as np
import torch

from wan2gp_svi.svi.conditioning import mask, padded_video, scale_motion

LIVELIER = {"motion_amplitude": 1.2}


def assert_formulas(arrays, windows):
    """Conditioning, mask and noise of a run's windows are the formulas'."""
    start = torch.from_numpy(arrays["seen1_0"][:, :1])
    for k, window in enumerate(windows, 1):
        before = start
        if k > 1:
            before = torch.from_numpy(arrays[f"frames{k - 1}"][:, -1:]).float()
            before = before / 127.5 - 1 if arrays[f"frames{k - 1}"].dtype == np.uint8 else before
        expected = padded_video(before, start, window.frames, -1)
        assert torch.allclose(torch.from_numpy(arrays[f"seen{k}_0"]), expected, atol=1e-6)
        assert np.array_equal(arrays[f"y{k}"][:4], mask(window.frames, 8, 8).numpy())
        assert np.array_equal(arrays[f"y{k}"][4:], arrays[f"encoding{k}_0"])
        generator = torch.Generator().manual_seed(window.seed)
        noise = torch.randn(1, 16, window.latents, 8, 8, generator=generator)
        assert np.array_equal(arrays[f"noise{k}"], noise.numpy())


def assert_livelier(run):
    """A motion amplitude acts behind the frame that is known."""
    assert run.ok, run.said[-1500:]
    encoded = torch.from_numpy(run.arrays["encoding1_0"])
    expected = scale_motion(encoded, 1, LIVELIER["motion_amplitude"])
    assert not torch.equal(expected, encoded)
    assert np.array_equal(run.arrays["y1"][4:], expected.numpy())
