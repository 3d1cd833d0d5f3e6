"""Every window of an SVI model goes through here: WanGP's `WanAny2V.generate`, wrapped.

WanGP's own conditioning is kept busy with nothing: it is given the anchor as its only input frame,
its calls of the VAE encoder are answered with zeros of the right shape, and when its y is ready the
hook in the middle (`hand_out_y`) puts SVI's in its place. So one way serves every version, the
81-frame encode of the old ones is never made, and the text is encoded before the anchor is, as
WanGP does to keep the peak of memory low.

Wan 2.2 5B has no y: WanGP puts what the encoder gives for the input frames into x, at time step 0.
There the encoder's answer itself is SVI's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from wan2gp_svi.errors import UserError
from wan2gp_svi.svi.carry import (
    START,
    Picture,
    condition_window,
    first_latents,
    kept,
    known_latents,
    left_by,
    pixels,
    shown,
)
from wan2gp_svi.svi.schedule import Segment, timetable
from wan2gp_svi.svi.vae import CHANNELS, MASK_CHANNELS, floor_frames, latents_of
from wan2gp_svi.svi.windows import Window
from wan2gp_svi.wangp import dance, loras, progress
from wan2gp_svi.wangp.console import say, say_once
from wan2gp_svi.wangp.run import Run, current
from wan2gp_svi.wangp.timed_prompts import timed
from wan2gp_svi.wangp.wrapping import wrap


@dataclass
class Active:
    """The window that a pipeline is generating, with the y that `hand_out_y` hands out and, in
    SVI-Dance, the tokens of its skeleton.

    From then on WanGP's calls of the encoder are about something else: its control video.
    """

    window: Window
    y: Tensor | None = None
    tokens: Tensor | None = None
    handed_out: bool = False


def attach(namespace: dict[str, Any]) -> bool:
    """Wrap `WanAny2V.generate` of any2video.py."""
    return wrap(namespace["WanAny2V"], "generate", _generate)


def hand_out_y(pipeline: Any, kwargs: dict[str, Any], overlap: Tensor | None) -> Tensor | None:
    """SVI's y in place of the host's; see `wangp.conditioning`."""
    active = getattr(pipeline, "_svi_active", None)
    if active is None:
        return overlap
    kwargs["y"] = active.y.to(device=kwargs["y"].device)
    active.handed_out = True
    return None


def _generate(original: Callable[..., Any], pipeline: Any, *args, **kwargs) -> Any:
    """WanGP's call for a window: SVI's in a run of ours, its own for every other model."""
    run = current()
    if args or kwargs.get("image_mode"):
        return original(pipeline, *args, **kwargs)
    if run is not None:
        return _window(original, pipeline, run, kwargs)
    if (getattr(pipeline, "model_def", None) or {}).get("svi2pro"):
        raise UserError(
            "SVI 2 Pro was called without its plan of windows. It runs from WanGP's page, its"
            " queue, --process and its Python API; if this came from there, the extension does not"
            " know this WanGP yet."
        )
    return original(pipeline, *args, **kwargs)


def _window(original: Callable[..., Any], pipeline: Any, run: Run, kwargs: dict[str, Any]) -> Any:
    """One window: WanGP generates it from SVI's conditioning, noise and words."""
    number = kwargs.get("window_no") or 1
    carry = run.carry
    _check_hooks(run, number)
    _trim(run, number, kwargs["frame_num"])
    window = run.begin(number, kwargs["seed"], kwargs.get("input_prompt", ""))
    given = kwargs.get("input_video")
    if given is None:  # no start image: the first anchor is
        given = torch.zeros(3, 1, kwargs["height"], kwargs["width"])
    if window.number == 1:
        refs = kwargs.get("input_ref_images") or []
        run.start = _as_frame(refs[0], given) if run.starts_on_anchor else given[:, -1:].clone()
    picture = _pictures(run, kwargs, given)
    by_words = known_latents(carry, window) == 0
    kept_latents = kept(window, run.size(window.number + 1).motion_latents)
    changed = {
        **kwargs,
        "seed": window.seed,
        "frame_num": window.frames,
        "input_video": None if by_words else shown(carry, window, picture),
        "input_ref_images": None,
        "prefix_video": None,
        "overlapped_latents": None,
        "return_latent_slice": slice(0, kept_latents.stop) if by_words else kept_latents,
        "motion_amplitude": 1.0,
        "image_end": None,
    }
    if run.mode.skeleton:
        changed["input_frames"] = None
    for name in ("prefix_video", "motion_amplitude"):
        if name not in kwargs:
            del changed[name]
    if run.starts_on_anchor and changed.get("pre_video_frame") is None:
        changed["pre_video_frame"] = kwargs["input_ref_images"][0]  # only asked for, not used
    segments = run.segments(window)
    _announce(run, window, segments)
    loras.warn(pipeline, kwargs)
    if run.mode.motion_frames and pipeline.VAE_dtype != torch.float32:
        say_once(
            "This mode encodes frames again for every window; its authors do that in 32 bits. For"
            " the same, set VAE Encoding/Decoding Precision to 32-bit in WanGP's configuration."
        )
    with (
        _conditioned(pipeline, run, window, picture, kwargs) as active,
        timed(pipeline, segments) as prompt,
    ):
        result = original(pipeline, **{**changed, "input_prompt": prompt})
    if not isinstance(result, dict) or result.get("x") is None:
        return result  # stopped by the user
    if not active.handed_out:
        raise UserError(
            "WanGP made this window without SVI's conditioning, so it was thrown away: the hook"
            " that hands it over was not called. Run the extension's install script again; if that"
            " does not help, the extension does not know this WanGP yet."
        )
    latents = result.get("latent_slice")
    latents = None if latents is None else latents[0]
    if by_words and latents is not None:  # what it begins with is the anchor of all that follow
        carry.anchors[0], run.start = latents[:, :1], pixels(result["x"][:, :1])
        latents = latents[:, kept_latents]
    carry.left = left_by(carry, window, latents, result["x"])
    run.apart = [*run.apart[: window.number - 1], carry.left.apart]
    return _as_host_expects(result, run, window, kwargs)


def _check_hooks(run: Run, number: int) -> None:
    """Stop before a window is made where WanGP's loop does not call what was put into it."""
    lost = None
    if run.measured != number:
        lost = "window_frames"
    elif number > 1 and run.noted != number - 1:
        lost = "window_saved"
    if lost is not None:
        raise UserError(
            f"WanGP did not call the hook {lost} for window {number}, so SVI stops here; what was"
            " made before is kept. Run the extension's install script again; if that does not"
            " help, the extension does not know this WanGP yet."
        )


def _trim(run: Run, number: int, frames: int) -> None:
    """End the plan where WanGP does: a control video that is shorter cuts its last window."""
    size = run.size(number)
    if frames < size.frames - size.discard:
        cut = replace(size, frames=floor_frames(frames), discard=0)
        run.sizes = [*(run.size(k) for k in range(1, number)), cut]


def _pictures(run: Run, kwargs: dict[str, Any], like: Tensor) -> Picture:
    """The anchor images as the VAE takes them, (3, 1, H, W), -1 to 1, by number."""

    def picture(number: int) -> Tensor:
        if number == 0 and run.carry.source is not None:
            return pixels(run.carry.source.first)
        if number in (0, START):
            return torch.as_tensor(run.start)
        refs = kwargs.get("input_ref_images") or []
        return _as_frame(refs[min(number, len(refs)) - 1], like)

    return picture


def _as_host_expects(
    result: dict[str, Any], run: Run, window: Window, kwargs: dict[str, Any]
) -> dict[str, Any]:
    """The frames without the discarded ones; WanGP's loop drops those at the front itself, so many
    as it has to."""
    frames = result["x"][:, : result["x"].shape[1] - window.discard]
    source = run.carry.source
    if window.number == 1 and run.short_source():
        pad = frames[:, :1].expand(-1, run.short_source(), -1, -1)
        frames = torch.cat([pad, frames], dim=1)
    if window.number == 1 and source is not None:
        # WanGP 9 shows the window's version of the frames that it shares with its source.
        shared = source.tail[:, -min(source.frames, run.size(1).overlap) :].to(frames.device)
        if frames.is_floating_point():
            shared = pixels(shared)
        frames = torch.cat([shared.to(frames.dtype), frames[:, shared.shape[1] :]], dim=1)
    result["x"] = frames
    host_drops = kwargs.get("overlap_size", window.drop_front)
    result.pop("post_decode_pre_trim", None)
    if window.motion_latents and window.drop_front > host_drops > 0:
        result["post_decode_pre_trim"] = window.drop_front - host_drops
    return result


@contextmanager
def _conditioned(
    pipeline: Any, run: Run, window: Window, picture: Picture, kwargs: dict[str, Any]
) -> Iterator[Active]:
    """While the host generates `window`: its encoder answers with zeros until y is handed out.

    After that it encodes the control video of video to video, whose frames stand where the window's
    do. The latents that repeat what is known start from that and not from the control video: in a
    later window from the anchor and the motion latents, as in y.
    """
    vae = pipeline.vae
    real, own = vae.encode, vars(vae).get("encode")
    active = Active(window, handed_out=known_latents(run.carry, window) == 0)
    end, amplitude = kwargs.get("image_end"), kwargs.get("motion_amplitude") or 1.0
    skeleton = kwargs.get("input_frames")

    def encode(videos, tile_size=0, *args, **kwargs):
        def encode_one(video: Tensor) -> Tensor:
            video = video.to(device=pipeline.device, dtype=pipeline.VAE_dtype)
            return real([video], tile_size)[0]

        if active.handed_out:
            return [_over_known(run, active, encode_one(video)) for video in videos]
        if run.carry.in_place:
            active.handed_out = True
            given = first_latents(run.carry, window, encode_one, picture)
            return [torch.as_tensor(given).to(device=pipeline.device)]
        if active.y is None:
            shown_last = None if end is None else end.unsqueeze(1)
            active.y = condition_window(
                run.carry, window, encode_one, picture, shown_last, amplitude
            )
            if run.mode.skeleton:
                active.tokens = dance.tokens(pipeline, run, skeleton, window.frames)
        like = active.y
        return [
            like.new_zeros(CHANNELS, latents_of(video.shape[1]), *like.shape[2:])
            for video in videos
        ]

    vae.encode = encode
    pipeline._svi_active = active
    adding = dance.added(pipeline.model, lambda: active.tokens)
    try:
        with adding if run.mode.skeleton else nullcontext():
            yield active
    finally:
        if own is None:
            del vae.encode  # the class's is back
        else:
            vae.encode = own
        pipeline._svi_active = None


def _over_known(run: Run, active: Active, latents: Tensor) -> Tensor:
    """A control video's latents (16, T, h, w), those of a later window's known frames as in y."""
    if active.y is None or active.window.on_image:
        return latents
    known = known_latents(run.carry, active.window)
    return torch.cat([active.y[MASK_CHANNELS:, :known].to(latents), latents[:, known:]], dim=1)


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
    number = run.told_number(window)
    total = number - window.number + max(len(run.sizes), window.number)
    handover = run.carry.handover
    anchor = f"anchor {window.anchor}" if window.anchor else "the start image as anchor"
    if run.carry.from_words and not window.anchor:
        anchor = "from words alone" if window.on_image else "its first frame as anchor"
    elif not run.mode.has_anchor:
        anchor = "no anchor"
    if not window.anchor and handover is not None and handover.anchor is not None:
        anchor = "the anchor as before"
    hand_over = "no hand-over" if window.number == 1 else "a new shot"
    if window.number == 1 and not window.on_image and handover is None:  # pixels, or encoded again
        hand_over = "the video's own end before it"
        if run.unused:
            hand_over += f", encoded again ({run.unused})"
    elif not window.on_image:
        count, what = window.motion_latents, "latent"
        if run.mode.motion_frames:
            count, what = run.mode.motion_frames, "frame"
        hand_over = f"hand-over {count} {what}{'s' * (count > 1)} from window {number - 1}"
    said = f"frames {window.start + 1}-{window.stop}, {anchor}, seed {window.seed}, {hand_over}"
    say(f"window {number}/{total}: {said}")
    used = "hand-over used" if hand_over.startswith("hand-over") else hand_over
    short = f"{anchor.removesuffix(' as anchor')}, {used}"
    progress.window_begins(number, total, window.frames, said, segments, short)
    if len(segments) > 1:
        for line in timetable(window, segments):
            say(f"  {line}")
