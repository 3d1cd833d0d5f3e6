"""SVI-Dance in WanGP: the skeleton of a window becomes tokens, which a hook adds to its patches.

WanGP prepares a control video window by window, as it is or as a drawn pose, and hands it to
`generate`, where its Wan 2.1 does nothing with it. Here

    skeleton_read   around WanGP's `preprocess_video_with_mask`: the skeleton starts over at its end
    tokens          of the frames that `generate` was handed; what the adapter needs is freed then
    added           while a window is made: they are added to what the patch embedding makes
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from wan2gp_svi import tensor_file
from wan2gp_svi.errors import UserError
from wan2gp_svi.svi import pose
from wan2gp_svi.svi.vae import VAE_STRIDE
from wan2gp_svi.svi.windows import Chain, layout
from wan2gp_svi.wangp.console import say
from wan2gp_svi.wangp.run import Run, current
from wan2gp_svi.wangp.wrapping import arguments, wrap

READER = "preprocess_video_with_mask"


def attach(wgp: dict[str, Any]) -> None:
    """Wrap the function in wgp.py's globals that reads a control video."""
    wrap(wgp, READER, skeleton_read)


def length(wgp: Mapping[str, Any], given: Mapping[str, Any], chain: Chain) -> int:
    """The frames that are asked for: no more than the skeleton has, where the user wants that.

    WanGP's own choice for control videos ("|"): the video ends with it; else it starts over. Raises
    `UserError` where there is no skeleton, or one that is meant for something else, or ends before
    anything is made.
    """
    letters = set(str(given["video_prompt_type"] or ""))
    if "V" not in letters or not given["video_guide"]:
        raise UserError(
            "SVI-Dance follows a skeleton, and there is none: give it a control video, either of a"
            " person who moves or of a skeleton that was drawn before."
        )
    if letters & set("GA"):
        raise UserError(
            "SVI-Dance takes its control video as a skeleton only: no Video to Video, no mask."
        )
    asked = int(given["video_length"])
    if "|" not in letters:
        return asked
    before = (
        0 if "T" in letters else max(chain.source_frames - 1, 0)
    )  # T: it begins with what is new
    left = _frames(wgp, given, chain.fps) - before
    if left < 1 + VAE_STRIDE:
        raise UserError("The skeleton video ends where this video would go on: let it start over.")
    return min(asked, left)


def _frames(wgp: Mapping[str, Any], given: Mapping[str, Any], fps: float) -> int:
    """Frames of the skeleton at so many a second; exact at an equal rate."""
    source_fps, _, _, count = wgp["get_video_info"](given["video_guide"])
    return -(-int(count) * round(fps) // max(round(source_fps), 1))


def begin(wgp: Mapping[str, Any], run: Run, given: Mapping[str, Any]) -> None:
    """Note where the adapter lies and how long the skeleton is."""
    folder = Path(str(wgp["get_lora_dir"](given["model_type"])))
    model_def = wgp["get_model_def"](given["model_type"]) or {}
    loras = [*(model_def.get("loras") or []), *(given["activated_loras"] or [])]
    run.pose_files = [folder / Path(str(lora)).name for lora in loras]
    run.skeleton_frames = _frames(wgp, given, run.chain.fps)
    if run.skeleton_frames < layout(run.sizes, run.chain)[-1].stop:
        say(f"the skeleton video has {run.skeleton_frames} frames: it starts over at its end")


def skeleton_read(original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """WanGP's reader of a control video: in a run of SVI-Dance it starts over at its end."""
    run = current()
    given = arguments(original, args, kwargs)
    if run is None or not run.mode.skeleton:
        return original(*args, **kwargs)

    def read(start: int, count: int) -> Tensor | None:
        frames, _ = original(**{**given, "start_frame": start, "max_frames": count})
        return frames

    start, count = int(given.get("start_frame") or 0), int(given["max_frames"])
    return pose.repeated(read, start, count, run.skeleton_frames), None


def tokens(pipeline: Any, run: Run, skeleton: Tensor | None, frames: int) -> Tensor:
    """The tokens (1, dim, T, H/16, W/16) of a window of `frames` frames, in the pipeline's dtype.

    `skeleton` (3, F, H, W), -1 to 1, is what WanGP handed over; its last frame serves those that
    are missing (frames that are discarded). Raises `UserError` where there is no skeleton, or no
    adapter.
    """
    if skeleton is None:
        raise UserError("WanGP handed over no skeleton for this window.")
    weights = _adapter(run.pose_files, pipeline.model.dim)
    skeleton = skeleton[:, :frames].to(device=pipeline.device, dtype=torch.float32)
    skeleton = skeleton.add(1).div_(2).clamp_(0, 1)
    missing = frames - skeleton.shape[1]
    skeleton = torch.cat([skeleton, skeleton[:, -1:].expand(-1, missing, -1, -1)], dim=1)
    weights = tuple((weight.to(skeleton), bias.to(skeleton)) for weight, bias in weights)
    with torch.no_grad():
        return pose.tokens(weights, skeleton).to(pipeline.dtype)


def _adapter(files: list[Path], dim: int) -> pose.Adapter:
    """The pose adapter of the first of the files that has one."""
    there = [file for file in files if file.is_file()]
    for file in there:
        header = tensor_file.read_header(file)
        if any(name.startswith(pose.PREFIX) for name in header.tensors):
            found = {}
            with safetensors.safe_open(str(file), framework="pt") as opened:
                for name in opened.keys():  # noqa: SIM118 (no dictionary)
                    if name.startswith(pose.PREFIX):
                        found[name] = opened.get_tensor(name)
            return pose.adapter(found, dim, file.name)
    named = ", ".join(file.name for file in there) or "no LoRA at all"
    raise UserError(
        f"SVI-Dance needs the pose adapter of the file svi-dance.safetensors; loaded is {named}."
    )


@contextmanager
def added(model: Any, find: Callable[[], Tensor | None]) -> Iterator[None]:
    """While the block lasts the tokens are added to what `model.patch_embedding` makes.

    `find` gives them once they are there; before, and for None, nothing is added.
    """

    def add(module: Any, given: Any, patches: Tensor) -> Tensor:
        found = find()
        if found is None:
            return patches
        if found.shape[2:] != patches.shape[2:]:
            raise UserError(
                f"The skeleton's tokens are {tuple(found.shape[2:])}, the window's are"
                f" {tuple(patches.shape[2:])}: the skeleton must have the size of the video."
            )
        return patches + found.to(patches)

    handle = model.patch_embedding.register_forward_hook(add)
    try:
        yield
    finally:
        handle.remove()
