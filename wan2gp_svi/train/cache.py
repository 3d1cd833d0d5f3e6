"""Clips as a Wan sees them, worked out once: latents, text and CLIP's features in files.

A cache is for one mode, size and kind of model. In its folder lie cache.safetensors (what it was
made with, and the embedding of no words), clip.text.safetensors for each clip, and for each piece
clip-00000.safetensors:

    latents      (C, T, h, w) of the piece
    references   (m, C, 1, h, w) of Pro's anchors; of the other modes (m, C, T, h, w), the piece's
                 first frames padded with each reference, as svi/conditioning.py has it
    pictures     (1 + m or 1, tokens, D), where CLIP is heard: the piece's first frame, the anchors

Each file is written whole; a run that was stopped goes on with the files that are missing.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from wan2gp_svi.errors import UserError
from wan2gp_svi.svi.carry import pixels
from wan2gp_svi.svi.conditioning import padded_video
from wan2gp_svi.svi.modes import MODES, Mode
from wan2gp_svi.svi.vae import floor_frames
from wan2gp_svi.train import checkpoint, clips, encoders, recycling, wan
from wan2gp_svi.train.recycling import Recipe, Sample

Encode = Callable[[Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class Settings:
    """What a cache is made with; `frames` of a window, at `fps`; pixels; the kind of model."""

    mode: str
    frames: int
    width: int
    height: int
    fps: float
    kind: wan.Kind


@dataclass(frozen=True, slots=True)
class Cache:
    """A cache that was opened: its pieces' files, and the embedding (L, D) of no words."""

    settings: Settings
    pieces: tuple[Path, ...]
    no_words: Tensor


# --- making one ----------------------------------------------------------------------------------


def settings_of(
    model: Path, mode: str, frames: int, width: int, height: int, fps: float
) -> Settings:
    """The settings for a model's folder. `UserError` for what does not go together."""
    kind = wan.kind_of(model)
    wan.check_mode(kind, mode)
    if frames != floor_frames(frames) or frames < 9:
        raise UserError(f"A window has 4k+1 frames, 9 at least: 81, 77, ...; {frames} is not one.")
    grid = wan.PATCH * encoders.stride(model)
    if min(width, height) < grid or width % grid or height % grid:
        raise UserError(
            f"{width}x{height} does not fit this model: both must be multiples of {grid}."
        )
    return Settings(mode, frames, width, height, fps, kind)


def make(model: Path, folder: Path, out: Path, settings: Settings) -> list[str]:
    """Fill the cache `out` with the clips of a folder. Returns the names of clips too short."""
    found = clips.captioned(folder)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    _encode_words(model, device, found, out, settings)
    vae = encoders.vae_encoder(model, device)
    clip = encoders.clip_encoder(model, device) if settings.kind.picture else None
    short = []
    for path, _ in tqdm(found, desc="clips", unit="clip", dynamic_ncols=True):
        video = clips.frames(path, settings.fps, settings.width, settings.height)
        pieces = clips.pieces(video.shape[1], settings.frames)
        if not pieces:
            short.append(path.name)
        for piece in pieces:
            target = out / f"{path.stem}-{piece.start:05d}.safetensors"
            if not target.exists():
                tensors = encode_piece(video, piece, settings, vae, clip)
                checkpoint.save(target, tensors, {"clip": path.stem})
    if len(short) == len(found):
        raise UserError(
            f"No clip in {folder} is longer than {settings.frames} frames at"
            f" {settings.fps:g} a second: take longer clips, or fewer --frames."
        )
    return short


def _encode_words(
    model: Path,
    device: torch.device,
    found: list[tuple[Path, str]],
    out: Path,
    settings: Settings,
) -> None:
    """The settings and all texts. The text encoder, the largest of all, is gone afterwards."""
    about = asdict(settings)
    known = out / "cache.safetensors"
    if known.exists() and checkpoint.load(known)[1] != about:
        raise UserError(f"{out} is a cache made with other settings; choose another folder.")
    encode = encoders.text_encoder(model, device)
    checkpoint.save(known, {"text": encode("")}, about)
    for path, text in tqdm(found, desc="words", unit="clip", dynamic_ncols=True):
        checkpoint.save(_text_file(out, path.stem), {"text": encode(text)}, {"words": text})


def _text_file(out: Path, clip: str) -> Path:
    return out / f"{clip}.text.safetensors"


def encode_piece(
    video: Tensor, piece: clips.Piece, settings: Settings, vae: Encode, clip: Encode | None
) -> dict[str, Tensor]:
    """The tensors of a piece's file, of its clip's frames (3, F, H, W), uint8."""
    mode = MODES[settings.mode]
    seen = pixels(video[:, piece.start : piece.start + settings.frames])
    others = [pixels(video[:, i : i + 1]) for i in piece.references]
    shown = [seen[:, :1]] if mode.motion_frames else [seen[:, :1], *others]
    tensors = {
        "latents": vae(seen),
        "references": torch.stack([vae(v) for v in _references(seen, others, mode)]),
    }
    if clip is not None:
        tensors["pictures"] = torch.stack([clip(picture) for picture in shown])
    return tensors


def _references(seen: Tensor, others: list[Tensor], mode: Mode) -> list[Tensor]:
    """The videos of a piece that are encoded besides its own."""
    if not mode.motion_frames:
        return others
    given, frames = seen[:, : mode.motion_frames], seen.shape[1]
    if not mode.ref_pad_num:  # no reference is seen: they would all be the same
        others = others[:1]
    return [padded_video(given, other, frames, mode.ref_pad_num) for other in others]


# --- training with it -----------------------------------------------------------------------------


def open_cache(folder: Path) -> Cache:
    """A cache that `make` made. `UserError` if it is none, or empty."""
    words, about = checkpoint.load(folder / "cache.safetensors")
    names = {p.name for p in folder.glob("*-" + "[0-9]" * 5 + ".safetensors")}
    try:
        settings = Settings(**{**about, "kind": wan.Kind(**about["kind"])})
        no_words = words["text"]
    except (KeyError, TypeError):
        raise UserError(f"{folder} holds no cache of ours; make it with: train cache") from None
    if not names:
        raise UserError(f"There are no pieces in {folder}: train cache was stopped too early.")
    return Cache(settings, tuple(folder / name for name in sorted(names)), no_words)


def sampler(cache: Cache) -> Callable[[Recipe, int], Sample]:
    """The sample of a number; the same number gives the same sample."""
    mode, frames = MODES[cache.settings.mode], cache.settings.frames

    def sample(recipe: Recipe, number: int) -> Sample:
        rng = np.random.default_rng([recipe.seed, 1, number])
        path = cache.pieces[rng.integers(len(cache.pieces))]
        held, about = checkpoint.load(path)
        text = checkpoint.load(_text_file(path.parent, about["clip"]))[0]["text"]
        which = int(rng.integers(len(held["references"])))
        opening = bool(rng.random() < recipe.opening)
        z, reference = held["latents"], held["references"][which]
        if mode.motion_frames:
            made = recycling.pixel_sample(z, reference, mode, frames, text)
        else:
            anchor = None if opening else reference
            made = recycling.pro_sample(z, anchor, recipe.motion_latents, frames, text)
        if "pictures" not in held:
            return made
        shown = 0 if mode.motion_frames or opening else 1 + which
        return replace(made, picture=held["pictures"][shown])

    return sample


def train(
    model: Path, cache: Cache, recipe: Recipe, out: Path, stop_after: int | None = None
) -> Path | None:
    """Train the LoRA of one expert of a folder's model with a cache; as `recycling.train`.

    The expert is loaded here and gone afterwards: two would not fit a GPU.
    """
    kind = cache.settings.kind
    transformer = wan.load(model, recipe.expert)
    path = recycling.train(
        transformer,
        recycling.add_lora(transformer, wan.TARGETS, recipe.rank, recipe.seed),
        wan.velocity(kind, cache.no_words),
        sampler(cache),
        recipe,
        out,
        model.resolve().name,
        {"clips": asdict(cache.settings), "pieces": len(cache.pieces)},
        in_place=kind.in_place,
        stop_after=stop_after,
    )
    del transformer
    gc.collect()  # for it refers to itself
    return path
