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

from wan2gp_svi.svi import pose
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


@pytest.mark.parametrize("name", ["shot", "film", "tom", "unified", "dance", "talk"])
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


def test_the_pose_adapter_of_dance():
    """Their network as they write it down, and how they feed it."""
    text = source("main", "diffsynth/pipelines/svi_video_dance.py")
    tree = ast.parse(text)
    made = [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "self.dwpose_embedding"
    ]
    fed = [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and "self.dwpose_embedding(" in ast.unparse(node.value)
    ]
    assert len(made) == len(fed) == 1

    def run(node, **names):
        return eval(compile(ast.Expression(node), "theirs", "eval"), {"torch": torch, **names})

    torch.manual_seed(5)
    network = run(made[0], nn=torch.nn, concat_dim=4).double()
    tensors = {pose.PREFIX + name: tensor for name, tensor in network.state_dict().items()}
    skeleton = torch.randint(0, 256, (3, 33, 64, 96)).double()  # as a video holds it
    with torch.no_grad():
        theirs = run(
            fed[0],
            self=types.SimpleNamespace(dwpose_embedding=network, device="cpu"),
            humanpose_data=skeleton[None],
        )
    adapter = pose.adapter(tensors, 5120)
    ours = pose.tokens(adapter, skeleton / 255)
    assert ours.shape == theirs.shape == (1, 5120, 9, 4, 6)
    assert torch.equal(ours.to(torch.bfloat16), theirs)  # they round at the end
    single = pose.tokens(adapter, (skeleton / 255).float())
    assert torch.allclose(single.double(), ours, atol=1e-5)


@pytest.mark.parametrize("length", [50, 81, 200, 400])
def test_the_skeletons_of_dance(length):
    """Their loop shows skeleton 81 twice at the first join, and is a frame late from there on."""
    tree = ast.parse(source("main", "test_svi_dance.py"))
    loop = next(
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.For) and ast.unparse(node.target) == "chunk_idx"
    )
    start = next(k for k, node in enumerate(loop.body) if "_new = torch.zeros" in ast.unparse(node))
    step = compile(ast.Module(loop.body[start:], []), "theirs", "exec")
    video = torch.arange(length).float().view(1, -1, 1, 1).expand(3, -1, 1, 1)
    long = video if length >= 81 else torch.cat([video] * (81 // length + 1), dim=1)
    names = {
        "torch": torch,
        "max_frames": 81,
        "misc_size": (1, 1),
        "num_motion_frames": 1,
        "sampled_idx": 80,
        "humanpose_data_all": long,
        "humanpose_data": long[:, :81],
    }

    def read(begin, count):
        return video[:, begin : begin + count]

    for k in range(4):
        theirs = names["humanpose_data"][0].flatten()
        ours = pose.repeated(read, 80 * k, 81, length)[0].flatten()
        if k == 0:
            assert torch.equal(ours, theirs)
        else:
            assert torch.equal(ours[:-1], theirs[1:])
        exec(step, names)
