"""The fingerprint and a real codec: frames of one colour come back darker, and are still known."""

from __future__ import annotations

import io

import av
import numpy as np
import pytest
import torch

from wan2gp_svi.svi.fingerprint import FRAMES, difference, fingerprint

SIDE = 64


def through_x264(frames: torch.Tensor) -> torch.Tensor:
    """uint8 (3, F, H, W) through x264 in 4:2:0 and back, as WanGP saves a video by default."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=16, options={"crf": "17"})
        stream.width, stream.height, stream.pix_fmt = SIDE, SIDE, "yuv420p"
        for frame in frames.movedim(0, -1).numpy():
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "rgb24")))
        container.mux(stream.encode(None))
    file.seek(0)
    with av.open(file) as container:
        back = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    return torch.from_numpy(np.stack(back)).movedim(-1, 0)


def as_saved(frames: torch.Tensor) -> torch.Tensor:
    """-1 to 1 -> bytes, as WanGP before 11.60 makes them when it saves: cut, not rounded."""
    return (frames.add(1).div(2).clamp(0, 1) * 255).to(torch.uint8)


@pytest.mark.parametrize("colour", [(1, 1, 1), (1, 0.5, 0), (0, 0.3, 1), (0.2, 1, 0.4)])
def test_flat_pictures_of_every_brightness_are_known_again(colour):
    """Mid-grey, 0.0, lies between two bytes: rounded up and decoded darker it was refused."""
    refused = []
    for level in torch.linspace(-1, 1, 33):
        value = (torch.tensor(colour) * (level + 1) - 1).view(3, 1, 1, 1)
        frames = value.expand(3, FRAMES, SIDE, SIDE)
        if difference(fingerprint(frames), through_x264(as_saved(frames))) is not None:
            refused.append(float(level))
    assert refused == []


def test_another_brightness_is_not():
    frames = torch.zeros(3, FRAMES, SIDE, SIDE)
    for step in (-6, 6):
        assert difference(fingerprint(frames), as_saved(frames + step / 127.5)) is not None


def test_bytes_and_the_floats_they_were_made_of_have_one_fingerprint():
    frames = torch.rand(3, FRAMES, SIDE, SIDE, generator=torch.Generator().manual_seed(1)) * 2 - 1
    assert torch.equal(fingerprint(frames), fingerprint(as_saved(frames)))
