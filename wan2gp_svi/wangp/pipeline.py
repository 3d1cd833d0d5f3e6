"""Every window of an SVI model goes through here: WanGP's `WanAny2V.generate`, wrapped.

WanGP's own conditioning is kept busy with nothing: it is given the anchor as its only input frame,
its calls of the VAE encoder are answered with zeros of the right shape, and when its y is ready the
hook in the middle (`conditioning`) puts SVI's in its place. So one way serves every version, the
81-frame encode of the old ones is never made, and the text is encoded before the anchor is, as
WanGP does to keep the peak of memory low.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from wan2gp_svi.svi.prompts import Segment, timetable
from wan2gp_svi.svi.windows import Chain, Size, Window, latents_of
from wan2gp_svi.wangp import loras, say_once
from wan2gp_svi.wangp import run as runs
from wan2gp_svi.wangp.run import START, Run, Source
from wan2gp_svi.wangp.settings import read
from wan2gp_svi.wangp.text_attention import timed

MODEL_TYPE = "i2v_2_2_svi2pro"
CHANNELS = 16  # of a latent, Wan 2.1 VAE


@dataclass
class Active:
    """The window that a pipeline is generating, with the y that `conditioning` hands out."""

    window: Window
    y: Tensor | None = None


def is_svi(pipeline: Any) -> bool:
    """Whether this pipeline runs SVI: in a run of ours, or because its model is SVI 2.0 Pro."""
    model_def = getattr(pipeline, "model_def", None) or {}
    return runs.current() is not None or bool(model_def.get("svi2pro"))


def attach(namespace: dict[str, Any]) -> None:
    """Wrap `WanAny2V.generate` of any2video.py."""
    cls = namespace["WanAny2V"]
    original = cls.generate

    @functools.wraps(original)
    def generate(self, *args, **kwargs):
        if args or not is_svi(self) or kwargs.get("image_mode"):
            return original(self, *args, **kwargs)
        return _generate(self, original, kwargs)

    cls.generate = generate


def conditioning(pipeline: Any, kwargs: dict[str, Any], overlap: Tensor | None) -> Tensor | None:
    """SVI's y in place of the host's; see `wangp.conditioning`."""
    active = getattr(pipeline, "_svi_active", None)
    if active is None:
        return overlap
    kwargs["y"] = active.y.to(device=kwargs["y"].device)
    return None


def _generate(pipeline: Any, original: Any, kwargs: dict[str, Any]) -> Any:
    run = runs.current() or _direct_run(pipeline, kwargs)
    window = run.begin(kwargs.get("window_no") or 1, kwargs["seed"], kwargs.get("input_prompt", ""))
    given = kwargs.get("input_video")
    if given is None:
        raise ValueError("SVI needs a start image, or a video to continue.")
    if window.number == 1:
        run.start = given[:, -1:].clone()

    def picture(number: int) -> Tensor:
        """The anchor image `number` as the VAE takes it, (3, 1, H, W), -1 to 1."""
        if number == 0 and run.source is not None:
            return runs.pixels(run.source.first)
        if number in (0, START):
            return torch.as_tensor(run.start)
        refs = kwargs.get("input_ref_images") or []
        return _as_frame(refs[min(number, len(refs)) - 1], given)

    n = run.size(window.number + 1).motion_latents
    tail = slice(max(window.kept_latents - n, 0), window.kept_latents)
    changed = {
        **kwargs,
        "seed": window.seed,
        "frame_num": window.frames,
        "input_video": run.shown(window, picture),
        "input_ref_images": None,
        "prefix_video": None,
        "overlapped_latents": None,
        "return_latent_slice": tail,
        "motion_amplitude": 1.0,
        "image_end": None,
    }
    for name in ("prefix_video", "motion_amplitude"):
        if name not in kwargs:
            del changed[name]
    run.amplitude = kwargs.get("motion_amplitude") or 1.0
    segments = run.segments(window)
    _announce(run, window, segments)
    loras.warn(pipeline, kwargs)
    if run.mode.motion_frames and pipeline.VAE_dtype != torch.float32:
        say_once(
            "This mode encodes frames again for every window; its authors do that in 32 bits. For"
            " the same, set VAE Encoding/Decoding Precision to 32-bit in WanGP's configuration."
        )
    with (
        _window(pipeline, run, window, picture, kwargs.get("image_end")),
        timed(pipeline, segments) as prompt,
    ):
        result = original(pipeline, **{**changed, "input_prompt": prompt})
    if not isinstance(result, dict) or result.get("x") is None:
        return result  # stopped by the user
    frames = result["x"]
    latents = result.get("latent_slice")
    run.finish(window, None if latents is None else latents[0], frames)
    return _as_host_expects(result, run, window, kwargs)


def _as_host_expects(
    result: dict[str, Any], run: Run, window: Window, kwargs: dict[str, Any]
) -> dict[str, Any]:
    """The frames without the discarded ones; WanGP's loop drops those at the front itself, so many
    as it has to."""
    frames = result["x"][:, : result["x"].shape[1] - window.discard]
    if window.number == 1 and run.short_source():
        pad = frames[:, :1].expand(-1, run.short_source(), -1, -1)
        frames = torch.cat([pad, frames], dim=1)
    if window.number == 1 and run.source is not None:
        # WanGP 9 shows the window's version of the frames that it shares with its source.
        shared = run.source.tail[:, -min(run.source.frames, run.size(1).overlap) :].to(
            frames.device
        )
        if frames.is_floating_point():
            shared = runs.pixels(shared)
        frames = torch.cat([shared.to(frames.dtype), frames[:, shared.shape[1] :]], dim=1)
    result["x"] = frames
    host_drops = kwargs.get("overlap_size", window.drop_front)
    result.pop("post_decode_pre_trim", None)
    if window.motion_latents and window.drop_front > host_drops > 0:
        result["post_decode_pre_trim"] = window.drop_front - host_drops
    return result


@contextmanager
def _window(
    pipeline: Any, run: Run, window: Window, picture: Any, end: Tensor | None
) -> Iterator[None]:
    """While the host generates `window`: its encoder answers with zeros, y is SVI's."""
    vae = pipeline.vae
    real, own = vae.encode, vars(vae).get("encode")
    active = Active(window)

    def encode(videos, tile_size=0, *args, **kwargs):
        def encode_one(video: Tensor) -> Tensor:
            video = video.to(device=pipeline.device, dtype=pipeline.VAE_dtype)
            return real([video], tile_size)[0]

        if active.y is None:
            shown = None if end is None else end.unsqueeze(1)
            active.y = run.conditioning(window, encode_one, picture, shown)
        like = active.y
        return [
            like.new_zeros(CHANNELS, latents_of(video.shape[1]), *like.shape[2:])
            for video in videos
        ]

    vae.encode = encode
    pipeline._svi_active = active
    try:
        yield
    finally:
        if own is None:
            del vae.encode  # the class's is back
        else:
            vae.encode = own
        pipeline._svi_active = None


def _direct_run(pipeline: Any, kwargs: dict[str, Any]) -> Run:
    """A run for callers that bypass WanGP's loop: it follows them window by window."""
    if kwargs.get("window_no", 1) > 1 and getattr(pipeline, "_svi_run", None) is not None:
        run = pipeline._svi_run
    else:
        settings = read(kwargs.get("custom_settings"))
        refs = kwargs.get("input_ref_images") or []
        prefix = kwargs.get("prefix_video")
        source = None
        if prefix is not None and prefix.shape[1] > 1:
            source = Source(prefix[:, :1], prefix[:, -64:], prefix.shape[1])
        chain = Chain(
            size=Size(kwargs["frame_num"], settings.motion_latents),
            fps=float(kwargs.get("fps", 16)),
            seeds=settings.seeds,
            anchors=len(refs),
            anchor_schedule=settings.anchor_schedule,
            source_frames=source.frames if source else 0,
        )
        run = Run(settings, chain, source=source, planned=False)
        pipeline._svi_run = run
    run.sizes = [
        *run.sizes[: kwargs.get("window_no", 1) - 1],
        replace(run.chain.size, frames=kwargs["frame_num"]),
    ]
    return run


def _as_frame(image: Any, like: Tensor) -> Tensor:
    """A PIL image or a tensor as one frame (3, 1, H, W), -1 to 1, of the size of `like`."""
    if torch.is_tensor(image):
        return image.unsqueeze(1) if image.ndim == 3 else image
    height, width = like.shape[-2:]
    image = image.convert("RGB")
    if image.size != (width, height):
        image = image.resize((width, height), resample=1)  # Lanczos
    values = torch.from_numpy(np.array(image)).float().div_(127.5).sub_(1.0)
    return values.movedim(-1, 0).unsqueeze(1)


def _announce(run: Run, window: Window, segments: Sequence[Segment]) -> None:
    """Say in the console what SVI does in this window."""
    total = max(len(run.sizes), window.number)
    anchor = f"anchor {window.anchor}" if window.anchor else "the start image as anchor"
    if not window.anchor and run.handover is not None and run.handover.anchor is not None:
        anchor = "the anchor as before"
    hand_over = "no hand-over"
    if not (window.number == 1 and run.chain.starts_on_image):
        count, what = window.motion_latents, "latent"
        if run.mode.motion_frames:
            count, what = run.mode.motion_frames, "frame"
        hand_over = f"hand-over {count} {what}{'s' * (count > 1)} from window {window.index - 1}"
    print(
        f"[SVI] window {window.number}/{total}: frames {window.start + 1}-{window.stop},"
        f" {anchor}, seed {window.seed}, {hand_over}"
    )
    if len(segments) > 1:
        for line in timetable(window, segments):
            print(f"[SVI]   {line}")
