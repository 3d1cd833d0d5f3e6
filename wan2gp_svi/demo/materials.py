"""What the demo starts from: the photo, two anchors made of it, LoRA files, the prompts."""

from __future__ import annotations

import math
import shutil
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from safetensors.torch import save_file

from wan2gp_svi.errors import UserError
from wan2gp_svi.files import whole

ASSETS = Path(__file__).parent / "assets"
PHOTO = ASSETS / "astronaut.jpg"
WEIGHTS = Path(__file__).parents[1] / "train" / "weights"
"""The tiny Wan and its SVI LoRA: what a film without a photo of the user's is made with."""
SIDE = 256
"""About the side of the demo's pictures, in pixels, were they square."""
GRID = 16  # pixels of a token: 8 of a latent, 2 latents of a patch
STEPS = 6
PICTURES = ("start.png", "anchor-1.png", "anchor-2.png")


@dataclass(frozen=True)
class Film:
    """What a film starts from.

    `pictures`: the start image and two anchors, all of the video's size, `names` what the sheet
    calls them. `plain`: the prompts for the same film without SVI (none: it is not made). `more`:
    windows that the second run adds. `trained`: with the bundled weights (else seeded ones). `says`
    is for the head of the contact sheet.
    """

    pictures: tuple[Image.Image, ...]
    names: tuple[str, ...]
    prompts: tuple[str, ...]
    plain: tuple[str, ...]
    window: int
    more: int
    steps: int
    guidance: float
    trained: bool
    says: str

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the video."""
        return self.pictures[0].size


# -- the small world ------------------------------------------------------------------------------

THING, TURNED, GROUND = "purple disc", "yellow disc", "over white stripes"
MOVES = (
    (THING, "moves right"),
    (THING, "moves down", "moves left"),
    (THING, "turns yellow"),
    (TURNED, "moves right", "moves up"),
    (TURNED, "moves left"),
    (TURNED, "moves down"),
    (TURNED, "moves right"),
    (TURNED, "moves up", "moves left"),
    (TURNED, "moves down"),
    (TURNED, "moves right"),
    (TURNED, "moves left"),
    (TURNED, "moves up"),
)
"""What happens in each window: one thing, or another from `THEN` on."""
THEN = 0.6  # seconds
WORLD_STEPS, WORLD_MORE = 10, 9


def of_world() -> Film:
    """A film that trained weights paint: everything in it was learnt, from procedural videos."""
    timed, plain = [], []
    for thing, *moves in MOVES:
        told = [f"a {thing} {move} {GROUND}" for move in moves]
        parts = (f"(at {k * THEN:g} s: {words})" for k, words in enumerate(told))
        timed.append(told[0] if len(told) == 1 else " ".join(parts))
        plain.append(f"a {thing} {', then '.join(moves)} {GROUND}")
    return Film(
        pictures=tuple(Image.open(ASSETS / f"world-{name}").convert("RGB") for name in PICTURES),
        names=("the start image", "anchor 1, as before", "anchor 2, turned yellow"),
        prompts=tuple(timed),
        plain=tuple(plain),
        window=25,
        more=WORLD_MORE,
        steps=WORLD_STEPS,
        guidance=1.5,
        trained=True,
        says="Made on this machine by a Wan of 3.6 million parameters that knows one small world,"
        " and an SVI LoRA trained for it: both are bundled.",
    )


def write_weights(host: Path) -> None:
    """The bundled weights where the small host looks, the LoRA under the names of SVI's authors."""
    loras = host / "loras" / "wan"
    loras.mkdir(parents=True, exist_ok=True)
    (host / "ckpts").mkdir()
    for noise in ("high", "low"):
        model, lora = f"{noise}.safetensors", f"svi-pro-{noise}-noise.safetensors"
        for name, path in (
            (model, host / "ckpts" / model),
            (lora, loras / LORA_FILE.format(f"{noise}_noise")),
        ):
            with whole(path) as part:
                shutil.copyfile(WEIGHTS / name, part)


# -- a photo --------------------------------------------------------------------------------------

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


def of_photo(path: str) -> Film:
    """A film from a photo, for which no weights are bundled: the small host's are constructed."""
    picture = photo(path)
    start = ImageOps.fit(picture, video_size(picture), Image.Resampling.LANCZOS)
    return Film(
        pictures=(start, *(start.convert("RGB", grade) for grade in GRADES)),
        names=("the start photo", "anchor 1, evening", "anchor 2, night"),
        prompts=PROMPTS,
        plain=(),
        window=33,
        more=1,
        steps=STEPS,
        guidance=3.5,
        trained=False,
        says="Made by wan2gp-svi's small host: weights constructed and seeded, not trained. It"
        " shows how windows are planned, joined and continued, not what Wan can paint. Words are a"
        " tint.",
    )


def photo(path: str) -> Image.Image:
    """The start photo, upright, RGB. Raises UserError for what is no picture."""
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


def write_pictures(film: Film, folder: Path) -> list[Path]:
    """The start image and the anchors, as PNG files."""
    paths = [folder / name for name in PICTURES]
    for image, path in zip(film.pictures, paths, strict=True):
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
