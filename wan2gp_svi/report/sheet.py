"""The contact sheet: a chain laid out on its time axis, one row a window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageColor, ImageDraw, ImageFont

from wan2gp_svi.files import whole

WIDTH, MARGIN, INFO = 1400, 28, 236
PAPER, INK, GREY, LINE, BLOCK = "#fbfaf6", "#1d2330", "#6b7280", "#d4d2ca", "#e6e3da"
RUNS = ("#c2410c", "#6d28d9")  # joins within a run, joins across a hand-over file
BARS = ("#dbe4f0", "#fde3c8", "#d9ecd4", "#f6d5dc")
COLUMNS = 9


@dataclass(frozen=True)
class Segment:
    """Words that hold from `start` to `stop`, seconds from the window's first new frame."""

    start: float
    stop: float
    words: str
    timed: bool
    label: str


@dataclass(frozen=True)
class Row:
    """One window: what it delivers (frames start..stop-1 of the whole video) and from what."""

    number: int
    run: int
    start: int
    stop: int
    generated: int
    motion_latents: int
    seed: int
    anchor_number: int
    anchor: str
    anchor_picture: Image.Image
    join: str
    segments: Sequence[Segment]


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _wrap(text: str, font, width: float, lines: int) -> list[str]:
    """The text in at most `lines` lines of `width` pixels, with an ellipsis where it is cut."""
    out, line = [], ""
    for word in text.split():
        trial = f"{line} {word}".strip()
        if line and font.getlength(trial) > width:
            out.append(line)
            line = word
        else:
            line = trial
    out.append(line)
    if len(out) > lines:
        out = out[:lines]
        out[-1] += " …"
    for i, shown in enumerate(out):
        while shown and font.getlength(shown) > width:
            shown = shown[:-2].rstrip(" …") + "…" if len(shown) > 2 else ""
        out[i] = shown
    return out


def contact_sheet(
    frames: np.ndarray,
    rows: Sequence[Row],
    fps: float,
    title: str,
    notes: Sequence[str],
    in_detail: int | None = None,
    strips: Sequence[tuple[str, np.ndarray]] = (),
) -> Image.Image:
    """The sheet of a video (F, H, W, 3), uint8.

    The first `in_detail` windows (None: all) have a row each. Below them stand the strips: words,
    and some pictures (n, H, W, 3).
    """
    shown = rows[:in_detail]
    longest = max(row.stop - row.start for row in shown)
    width = WIDTH - 2 * MARGIN - INFO
    pixels_a_frame = width / longest
    step = -(-longest // (4 * COLUMNS)) * 4  # a picture for each latent, or for every few
    thumb_width = int(step * pixels_a_frame) - 4
    thumb_height = round(thumb_width * frames.shape[1] / frames.shape[2])
    row_height = thumb_height + 112
    top = 74 + 24 * len(notes)
    below = top + 64 + row_height * len(shown) + 8
    small = _strip_size(strips, frames.shape)
    sheet = Image.new("RGB", (WIDTH, below + len(strips) * (small[1] + 44)), PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((MARGIN, 22), title, INK, _font(30))
    for i, note in enumerate(notes):
        draw.text((MARGIN, 66 + 24 * i), note, GREY, _font(16))
    _overview(draw, top, rows, fps)
    for i, row in enumerate(shown):
        y = top + 64 + i * row_height
        _row(sheet, draw, y, row, frames, fps, (pixels_a_frame, step, thumb_width, thumb_height))
    for i, (words, pictures) in enumerate(strips):
        y = below + i * (small[1] + 44)
        draw.line((MARGIN, y - 8, WIDTH - MARGIN, y - 8), LINE)
        draw.text((MARGIN, y - 2), words, INK, _font(18))
        for k, picture in enumerate(pictures):
            thumb = Image.fromarray(picture).resize(small, Image.Resampling.LANCZOS)
            sheet.paste(thumb, (MARGIN + k * (small[0] + 4), y + 24))
    return sheet


def _strip_size(strips: Sequence[tuple[str, np.ndarray]], shape: Sequence[int]) -> tuple[int, int]:
    """Width and height of a strip's pictures, which fill the sheet's width."""
    most = max((len(pictures) for _, pictures in strips), default=1)
    width = min((WIDTH - 2 * MARGIN) // most - 4, 160)
    return width, round(width * shape[1] / shape[2])


def _overview(draw: ImageDraw.ImageDraw, y: int, rows: Sequence[Row], fps: float) -> None:
    """The whole video as one bar, cut at its joins."""
    left, right, total = MARGIN, WIDTH - MARGIN, rows[-1].stop
    scale = (right - left) / total
    font = _font(14)
    for row in rows:
        a, b = left + row.start * scale, left + row.stop * scale
        draw.rectangle((a, y, b, y + 24), fill=BLOCK)
        words = f"window {row.number}, seed {row.seed}"
        draw.text((a + 10, y + 4), _wrap(words, font, b - a - 14, 1)[0], INK, font)
        if row.start:
            draw.rectangle((a - 2, y - 5, a + 2, y + 29), fill=RUNS[min(row.run - 1, 1)])
    for second in range(int(total / fps) + 1):
        x = left + second * fps * scale
        draw.line((x, y + 24, x, y + 29), GREY)
        if x < right - 20:
            draw.text((x + 3, y + 27), f"{second} s", GREY, _font(12))


def _row(sheet, draw, y, row: Row, frames, fps, layout) -> None:
    pixels_a_frame, step, thumb_width, thumb_height = layout
    left = MARGIN + INFO
    colour = RUNS[min(row.run - 1, 1)]
    draw.line((MARGIN, y - 8, WIDTH - MARGIN, y - 8), LINE)
    draw.text((MARGIN, y), f"Window {row.number}", INK, _font(22))
    if row.start:
        draw.rectangle((left - 9, y + 4, left - 5, y + thumb_height + 88), fill=colour)
        draw.text((left, y + 2), row.join, colour, _font(15))
    else:
        draw.text((left, y + 2), row.join, GREY, _font(15))
    info = (
        f"{row.generated} frames, {row.stop - row.start} new",
        f"{row.start / fps:.2f} s to {row.stop / fps:.2f} s",
        f"seed {row.seed}",
    )
    for i, text in enumerate(info):
        draw.text((MARGIN, y + 28 + 19 * i), text, INK, _font(15))
    side = min(96, thumb_height)
    anchor = row.anchor_picture.copy()
    anchor.thumbnail((side, side), Image.Resampling.LANCZOS)
    sheet.paste(anchor, (MARGIN, y + 92))
    for i, line in enumerate(_wrap(row.anchor, _font(14), INFO - side - 30, 4)):
        draw.text((MARGIN + side + 10, y + 92 + 18 * i), line, GREY, _font(14))

    line_y = y + 26 + thumb_height
    for first in range(row.start, row.stop, step):
        x = left + (first - row.start) * pixels_a_frame
        shown = min(thumb_width, int((row.stop - first) * pixels_a_frame) - 2)
        if shown < thumb_width // 2:
            continue
        thumb = Image.fromarray(frames[first]).resize(
            (thumb_width, thumb_height), Image.Resampling.LANCZOS
        )
        sheet.paste(thumb.crop((0, 0, shown, thumb_height)), (round(x), y + 24))
    end = left + (row.stop - row.start) * pixels_a_frame
    draw.line((left, line_y + 3, end, line_y + 3), INK, 2)
    half_seconds = range(-int(-row.start * 2 // fps), int(row.stop * 2 / fps) + 1)
    for half in half_seconds:
        x = left + (half / 2 * fps - row.start) * pixels_a_frame
        draw.line((x, line_y, x, line_y + 7), INK, 2)
        if x < end - 30:
            draw.text((x + 4, line_y + 5), f"{half / 2:g} s", GREY, _font(12))
    for i, segment in enumerate(row.segments):
        a = left + segment.start * fps * pixels_a_frame
        b = left + segment.stop * fps * pixels_a_frame
        fill = BARS[0] if not segment.timed else BARS[1 + (i - 1) % 3]
        draw.rectangle((a, line_y + 22, b - 3, line_y + 62), fill=fill)
        lines = _wrap(segment.label, _font(14), b - a - 14, 2)
        for k, text in enumerate(lines):
            draw.text((a + 6, line_y + 25 + 17 * k), text, INK, _font(14))


def save_png(image: Image.Image, path: Path) -> None:
    """As a PNG of 256 colours, a third of the size of all of them; whole or not at all."""
    own = [ImageColor.getrgb(colour) for colour in (PAPER, INK, GREY, LINE, BLOCK, *RUNS, *BARS)]
    room = 256 - len(own)
    chosen = image.quantize(room, Image.Quantize.MEDIANCUT).getpalette() or []
    palette = Image.new("P", (1, 1))
    palette.putpalette(chosen[: 3 * room] + [level for colour in own for level in colour])
    few = image.quantize(palette=palette, dither=Image.Dither.NONE)
    with whole(path) as part:
        few.save(part, "PNG", optimize=True)
