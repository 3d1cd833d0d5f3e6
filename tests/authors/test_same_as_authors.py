"""The conditioning of a chain, ours beside the authors' own code, to the bit.

SVI_GIT names the git directory of a clone of vita-epfl/Stable-Video-Infinity with the branches main
and svi_wan22; without it these tests are skipped. Their code is read and run, never copied: the one
class (Pro) and the one method (Wan 2.1 family) that build y are taken out of their files as they
are, because the modules around them import packages that only a GPU needs.
"""

import ast
import os
import subprocess
import types

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from wan2gp_svi.svi.conditioning import condition, padded_video, pro_latents
from wan2gp_svi.svi.modes import MODES
from wan2gp_svi.svi.vae import latents_of

HEIGHT, WIDTH = 64, 96


def source(revision, path):
    folder = os.environ.get("SVI_GIT")
    if not folder:
        pytest.skip("SVI_GIT is not set: it names a git directory of the SVI authors' repository")
    command = ["git", "--git-dir", folder, "show", f"{revision}:{path}"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def taken(text, name):
    """The class or function `name` of a module's text, defined in a namespace of its own."""
    tree = ast.parse(text)
    found = [node for node in ast.walk(tree) if getattr(node, "name", None) == name]
    assert len(found) == 1
    found[0].decorator_list = []
    for node in ast.walk(found[0]):
        if isinstance(node, ast.FunctionDef):
            node.returns = None
            for argument in node.args.args:
                argument.annotation = None

    class PipelineUnit:
        def __init__(self, **names):
            vars(self).update(names)

    namespace = {"torch": torch, "np": np, "Image": Image, "PipelineUnit": PipelineUnit}
    exec(compile(ast.Module([found[0]], []), name, "exec"), namespace)
    return namespace[name]


def encode(video):
    """A stand-in for the VAE, (3, F, H, W) -> (16, T, H/8, W/8): what it is given matters."""
    weights = torch.randn(16, 3, generator=torch.Generator().manual_seed(3))
    small = F.avg_pool2d(video.movedim(1, 0), 8)
    groups = [small[:1], *(small[j : j + 4] for j in range(1, len(small), 4))]
    means = torch.stack([group.mean(0) for group in groups], dim=1)
    return torch.einsum("oc,cthw->othw", weights, means)


def picture(seed):
    noise = np.random.default_rng(seed).integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    return Image.fromarray(noise)


def as_tensor(image):
    """(3, 1, H, W), -1 to 1."""
    values = torch.from_numpy(np.array(image)).float() / 127.5 - 1
    return values.permute(2, 0, 1).unsqueeze(1)


def preprocess(image, use_aug=False):
    return as_tensor(image).transpose(0, 1)


@pytest.mark.parametrize("frames", [17, 81])
@pytest.mark.parametrize("motion_latents", [1, 2, 4])
def test_a_chain_of_2_0_pro(frames, motion_latents):
    path = "diffsynth/pipelines/wan_video_svi_pro.py"
    unit = taken(source("svi_wan22", path), "WanVideoUnit_ImageEmbedderVAE")()
    pipe = types.SimpleNamespace(
        load_models_to_device=lambda names: None,
        dit=types.SimpleNamespace(require_vae_embedding=True),
        preprocess_image=preprocess,
        vae=types.SimpleNamespace(encode=lambda videos, **_: torch.stack([*map(encode, videos)])),
        device="cpu",
        torch_dtype=torch.float32,
    )
    start, anchors = picture(0), [picture(0), picture(1), picture(2), picture(2)]
    before = None
    for k, anchor in enumerate(anchors):
        theirs = unit.process(
            pipe,
            input_image=[start],
            end_image=None,
            num_frames=frames,
            height=HEIGHT,
            width=WIDTH,
            tiled=False,
            tile_size=None,
            tile_stride=None,
            anchor=anchor,
            inference_mode=True,
            prev_last_latent=before,
            num_motion_latent=motion_latents,
        )["y"][0]
        latents = latents_of(frames)
        motion = None if before is None else before[:, -motion_latents:]
        ours = condition(pro_latents(encode(as_tensor(anchor)), motion, latents), frames)
        assert torch.equal(ours, theirs)
        generator = torch.Generator().manual_seed(42 * k)
        before = torch.randn(16, latents, HEIGHT // 8, WIDTH // 8, generator=generator)


@pytest.mark.parametrize("name", ["shot", "film", "tom", "unified"])
@pytest.mark.parametrize("ref_pad_cfg", [False, True])
def test_the_wan_2_1_family(name, ref_pad_cfg):
    text = source("main", "diffsynth/pipelines/svi_video.py")
    build = taken(text, "encode_images_adaptive")
    mode = MODES[name]

    class Vae(torch.nn.Linear):
        def encode(self, videos, device):
            return torch.stack([encode(video) for video in videos])

    class Eye(torch.nn.Linear):
        def encode_image(self, images):
            return torch.zeros(1)

    pipe = types.SimpleNamespace(
        torch_dtype=torch.float32,
        device="cpu",
        vae=Vae(1, 1),
        image_encoder=Eye(1, 1),
        preprocess_image=preprocess,
    )
    frames = 17
    motion = [picture(10 + k) for k in range(mode.motion_frames)]
    reference = picture(20)
    theirs = build(
        pipe,
        motion,
        reference,
        frames,
        HEIGHT,
        WIDTH,
        ref_pad_cfg=ref_pad_cfg,
        ref_pad_num=mode.ref_pad_num,
    )["y"][0]
    video = padded_video(
        torch.cat([as_tensor(image) for image in motion], dim=1),
        as_tensor(reference),
        frames,
        mode.ref_pad_num,
    )
    known = mode.motion_frames if ref_pad_cfg else 1
    assert torch.equal(condition(encode(video), frames, known), theirs)
