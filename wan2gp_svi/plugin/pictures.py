"""Small pictures of what WanGP's form holds, as addresses that a page shows without a file."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from typing import Any

from PIL import Image

SIZE = (192, 132)
"""Twice what a card shows, in pixels."""


def of_form(form: Mapping[str, Any]) -> dict[int, str]:
    """The start image (0) and the anchor images (1, 2, ...) of a form, where they are pictures."""
    found: dict[int, str] = {}
    starts = form.get("image_start") if "S" in str(form.get("image_prompt_type") or "") else None
    anchors = form.get("image_refs") if "I" in str(form.get("video_prompt_type") or "") else None
    for number, image in enumerate([_first(starts), *_several(anchors)]):
        address = _address(image)
        if address:
            found[number] = address
    return found


def _several(images: Any) -> list[Any]:
    if images is None:
        return []
    return list(images) if isinstance(images, (list, tuple)) else [images]


def _first(images: Any) -> Any:
    return next(iter(_several(images)), None)


def _address(image: Any) -> str:
    """A picture, its file's name, or either with a caption; "" for what is none of these."""
    if isinstance(image, (list, tuple)):
        image = image[0] if image else None
    try:
        if isinstance(image, str):
            with Image.open(image) as opened:
                small = opened.convert("RGB")
        elif isinstance(image, Image.Image):
            small = image.convert("RGB")
        else:
            return ""
    except (OSError, ValueError):
        return ""
    small.thumbnail(SIZE)
    data = io.BytesIO()
    small.save(data, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(data.getvalue()).decode()
