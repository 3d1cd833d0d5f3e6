"""The pose adapter: its tokens, made a part at a time, and a skeleton that starts over."""

from itertools import pairwise

import pytest
import torch
from torch import nn

from wan2gp_svi.errors import UserError
from wan2gp_svi.svi import pose

DIM = 24


def file(dim=DIM, seed=1):
    """The tensors of a file, random but for their names and shapes."""
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.randn(shape, generator=generator, dtype=torch.float64) * 0.1
        for name, shape in pose.shapes(dim).items()
    }


def whole(tensors, skeleton):
    """The same convolutions, in one piece, as modules."""
    sizes = [(3, 1, 1)] * 3 + [(3, (1, 2, 2), 1), (3, 2, 1), (3, 2, 1), ((1, 2, 2), (1, 2, 2), 0)]
    layers = []
    for number, (kernel, stride, padding) in enumerate(sizes):
        into, out = 16 if number else 3, DIM if number == len(sizes) - 1 else 16
        layers += [nn.Conv3d(into, out, kernel, stride, padding), nn.SiLU()]
    network = nn.Sequential(*layers[:-1]).double()
    network.load_state_dict({k.removeprefix(pose.PREFIX): v for k, v in tensors.items()})
    front = skeleton[:, :1].repeat(1, 3, 1, 1)
    with torch.no_grad():
        return network(torch.cat([front, skeleton], dim=1)[None])


@pytest.mark.parametrize("frames", [1, 5, 17, 33, 49, 81])
def test_tokens_made_a_part_at_a_time_are_those_of_the_whole(frames):
    generator = torch.Generator().manual_seed(frames)
    skeleton = torch.rand(3, frames, 32, 48, generator=generator, dtype=torch.float64)
    found = pose.tokens(pose.adapter(file(), DIM), skeleton)
    assert found.shape == (1, DIM, (frames - 1) // 4 + 1, 2, 3)
    assert torch.allclose(found, whole(file(), skeleton), atol=1e-12)


def test_every_frame_matters_and_where_it_stands():
    adapter = pose.adapter(file(), DIM)
    skeleton = torch.zeros(3, 17, 32, 32, dtype=torch.float64)
    still = pose.tokens(adapter, skeleton)
    for k in range(17):
        moved = skeleton.clone()
        moved[:, k] = 1
        changed = (pose.tokens(adapter, moved) - still).abs().amax(dim=(0, 1, 3, 4)) > 1e-12
        latent = 0 if k == 0 else (k + 3) // 4
        assert changed[latent]
        assert not changed[latent + 3 :].any()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.pop("dwpose_embedding.4.bias"), "lacks dwpose_embedding.4.bias"),
        (lambda t: t.update({"dwpose_embedding.13.bias": torch.zeros(1)}), "which is not known"),
        (lambda t: t.update({"dwpose_embedding.12.bias": torch.zeros(99)}), "for another model"),
        (lambda t: t.clear(), "holds no pose adapter"),
    ],
)
def test_an_adapter_that_is_not_whole_is_refused(change, words):
    tensors = file()
    change(tensors)
    with pytest.raises(UserError, match=words):
        pose.adapter(tensors, DIM, "x.safetensors")


def test_other_tensors_of_the_file_are_not_looked_at():
    tensors = {"blocks.0.self_attn.q.lora_A.weight": torch.zeros(2, 2), **file()}
    assert len(pose.adapter(tensors, DIM)) == 7


@pytest.mark.parametrize("shape", [(3, 16, 32, 32), (3, 17, 40, 32)])
def test_a_skeleton_without_whole_tokens_is_refused(shape):
    with pytest.raises(UserError, match="not possible"):
        pose.tokens(pose.adapter(file(), DIM), torch.zeros(shape))


def numbered(length):
    """A video whose frame k shows k, and how it is read."""
    video = torch.arange(length).float().view(1, -1, 1, 1)

    def read(start, count):
        return video[:, start : start + count] if start < length else None

    return read


@pytest.mark.parametrize("length", [1, 7, 40, 81, 100])
@pytest.mark.parametrize("said", ["right", "too long", "too short"])
def test_a_skeleton_starts_over_at_its_end(length, said):
    known = {"right": length, "too long": length + 3, "too short": max(length - 3, 1)}[said]
    found = pose.repeated(numbered(length), 76, 81, known).flatten().tolist()
    if said == "right":
        assert found == [(76 + k) % length for k in range(81)]
    assert len(found) == 81
    assert all((b - a) in (1, -a) for a, b in pairwise(found))


def test_before_a_skeleton_begins_its_first_frame_stands():
    assert pose.repeated(numbered(9), -2, 5, 9).flatten().tolist() == [0, 0, 0, 1, 2]


def test_a_video_without_frames_is_refused():
    with pytest.raises(UserError, match="no frames"):
        pose.repeated(lambda start, count: None, 5, 5, 9)
