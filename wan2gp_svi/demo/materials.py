"""What the demo starts from: the photo, two anchors made of it, LoRA files, the prompts."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from safetensors.torch import save_file

from wan2gp_svi.errors import UserError
from wan2gp_svi.files import whole

PHOTO = Path(__file__).parent / "assets" / "astronaut.jpg"
SIDE = 256
"""About the side of the demo's pictures, in pixels, were they square."""
GRID = 16  # pixels of a token: 8 of a latent, 2 latents of a patch
PROMPTS = (
    "An astronaut before her flight. (at 1 second: She smiles at someone behind the camera.)",
    "The evening before the start. (at 0.6 seconds: The sun goes down.) (at 1.2 seconds: Dusk.)",
    "Night over the launch pad. (at 1 second: The engines are lit.)",
    "In orbit, far from home. (at 0.9 seconds: The earth rises in the visor.)",
)
# Colour matrices of the anchors, rows R G B, columns R G B and an offset: evening, night.
GRADES = (
    (1.10, 0.10, 0.00, 12, 0.05, 0.85, 0.00, 2, 0.00, 0.10, 0.55, 0),
    (0.55, 0.10, 0.05, 0, 0.10, 0.60, 0.12, 3, 0.10, 0.20, 0.85, 18),
)
LORA_NAMES = ("high_noise", "low_noise")
LORA_FILE = "SVI_Wan2.2-I2V-A14B_{}_lora_v2.0_pro.safetensors"
DIM, BLOCKS, RANK = 96, 2, 8  # of the small host's model


def photo(path: str | None) -> Image.Image:
    """The start photo, upright, RGB. Raises UserError for what is no picture."""
    if path is None:
        path = str(PHOTO)
    try:
        with Image.open(path) as image:
            picture = ImageOps.exif_transpose(image).convert("RGB")
    except FileNotFoundError:
        raise UserError(f"There is no file {path}: name a photo with --image.") from None
    except IsADirectoryError:
        raise UserError(f"{path} is a folder: name a photo with --image.") from None
    except PermissionError:
        raise UserError(f"{path} may not be read: choose another photo.") from None
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError):
        raise UserError(
            f"{path} is not a picture that can be read: use a JPEG, PNG or WebP file."
        ) from None
    if min(picture.size) < 2 * GRID:
        raise UserError(
            f"{path} is {picture.width} x {picture.height} pixels, too small for a video:"
            f" use a photo of at least {2 * GRID} x {2 * GRID}."
        )
    return picture


def video_size(picture: Image.Image) -> tuple[int, int]:
    """Width and height of the video: the photo's shape (at most 3 to 1), SIDE^2 pixels, by 16."""
    aspect = min(max(picture.width / picture.height, 1 / 3), 3)
    width, height = SIDE * math.sqrt(aspect), SIDE / math.sqrt(aspect)
    return tuple(max(round(s / GRID), 2) * GRID for s in (width, height))  # type: ignore[return-value]


def write_pictures(picture: Image.Image, size: tuple[int, int], folder: Path) -> list[Path]:
    """The start image and the two anchors, cropped to the video's size, as PNG files."""
    start = ImageOps.fit(picture, size, Image.Resampling.LANCZOS)
    pictures = [start, *(start.convert("RGB", grade) for grade in GRADES)]
    paths = [folder / name for name in ("start.png", "anchor-1.png", "anchor-2.png")]
    for image, path in zip(pictures, paths, strict=True):
        with whole(path) as part:
            image.save(part, "PNG")
    return paths


def write_loras(folder: Path) -> None:
    """Two LoRA files, in the names and the key format of SVI's authors, with seeded numbers."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed, noise in enumerate(LORA_NAMES):
        generator = torch.Generator().manual_seed(seed)
        tensors = {}
        for block in range(BLOCKS):
            for layer in ("self_attn.q", "self_attn.k", "self_attn.v", "self_attn.o"):
                name = f"pipe.dit.blocks.{block}.{layer}"
                down = torch.randn(RANK, DIM, generator=generator) / DIM**0.5
                up = torch.randn(DIM, RANK, generator=generator) * 0.05
                tensors[f"{name}.lora_A.default.weight"] = down
                tensors[f"{name}.lora_B.default.weight"] = up
        with whole(folder / LORA_FILE.format(noise)) as part:
            save_file(tensors, part)
