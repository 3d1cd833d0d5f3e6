"""A plan as a storyboard: a strip along the time axis, and a card for each window. HTML, no script.

Colours are those of the page that it stands in, by Gradio's names for them, with a light page's
where there are none; so it is right on a dark page, too. Nothing is loaded from anywhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from wan2gp_svi.report.plan import clock

BARS = ("#7c9cc9", "#d99a55", "#6fae68", "#c56f86")
"""Of words that hold throughout, and of timed ones in turn; readable on light and on dark."""
MANY = 24
"""Windows from which on the cards scroll within a box."""
STYLE = """<style>
.svib{--ink:var(--body-text-color,#1d2330);--soft:var(--body-text-color-subdued,#6b7280);
--paper:var(--background-fill-secondary,#f4f5f7);--line:var(--border-color-primary,#d4d2ca);
--bad:#e5484d;color:var(--ink);font-size:14px;line-height:1.35}
.svib *{box-sizing:border-box}
.pending:has(>.svib),.pending .svib{opacity:1!important}
.svib .strip{display:flex;height:34px;gap:2px;margin:6px 0 2px}
.svib .strip i{display:flex;align-items:center;justify-content:center;min-width:3px;height:100%;
background:var(--paper);border:1px solid var(--line);font:600 11px sans-serif;overflow:hidden;
border-radius:3px;color:var(--soft)}
.svib .strip i.on{outline:2px solid var(--color-accent,#0ea5e9);outline-offset:1px}
.svib .strip i.bad{background:var(--bad);color:#fff}
.svib .ends{display:flex;justify-content:space-between;color:var(--soft);font-size:12px}
.svib .cards{display:grid;grid-template-columns:repeat(auto-fill,minmax(210px,1fr));gap:10px;
margin-top:10px}
.svib .many{max-height:70vh;overflow:auto;padding:2px}
.svib .card{display:flex;flex-direction:column;gap:4px;text-align:left;padding:10px;font:inherit;
color:inherit;background:var(--paper);border:1px solid var(--line);border-radius:8px;cursor:pointer;
min-width:0}
.svib .card:focus-visible{outline:3px solid var(--color-accent,#0ea5e9)}
.svib .card.on{border-color:var(--color-accent,#0ea5e9);box-shadow:inset 0 0 0 1px
var(--color-accent,#0ea5e9)}
.svib .card.bad{border-color:var(--bad)}
.svib .top{display:flex;justify-content:space-between;gap:6px;align-items:baseline}
.svib .top b{font-size:15px}
.svib .soft{color:var(--soft);font-size:12px}
.svib .row{display:flex;gap:8px;align-items:flex-start;min-width:0}
.svib .pic{width:64px;height:44px;border-radius:4px;background:var(--line) center/cover;flex:none}
.svib .bar{display:flex;height:8px;border-radius:4px;overflow:hidden;background:var(--line)}
.svib .words{overflow-wrap:anywhere;display:-webkit-box;-webkit-line-clamp:5;
-webkit-box-orient:vertical;overflow:hidden}
.svib .dot{display:inline-block;width:8px;height:8px;border-radius:2px;margin-right:5px}
.svib .mistake{color:var(--bad);font-weight:600;overflow-wrap:anywhere}
.svib .note{margin:4px 0}
.svib .pics{display:flex;flex-wrap:wrap;gap:8px;align-items:center;margin:6px 0}
.svib .pics .pic{cursor:grab;display:flex;align-items:flex-end}
.svib .pics .pic b{background:var(--paper);padding:0 4px;font-size:11px;border-radius:0 4px 0 4px}
.svib .card.over{outline:3px dashed var(--color-accent,#0ea5e9)}
</style>"""


@dataclass(frozen=True)
class _Acts:
    """What a card does: JavaScript, where %d is the window's number; "" for nothing."""

    click: str
    drop: str


def storyboard(
    windows: Sequence[Mapping[str, Any]],
    pictures: Mapping[int, str] | None = None,
    chosen: int | None = None,
    on_click: str = "",
    on_drop: str = "",
) -> str:
    """The storyboard of a plan.

    windows: as report/plan.py describes them; beside that, each may have
        mistake   what is wrong with its words
        cost      what it will take, in words
        seed      may be a text, where it is not known yet
        loras     the strength of each LoRA, as WanGP writes it
    pictures: of anchors by their number (0: the start image), as addresses that <img> takes
    chosen: the window that is marked
    on_click: JavaScript that a click on a card runs, where %d is the window's number
    on_drop: JavaScript for a picture that is dropped on a card: %d is the window's number, and the
        variable `picture` the picture's. With it, and where there are anchor images, the pictures
        stand above the cards to be dragged.
    """
    if not windows:
        return ""
    first, last = windows[0], windows[-1]
    on_drop = on_drop if any(pictures or {}) else ""
    acts = _Acts(on_click, on_drop)
    shown = "".join(_card(window, pictures or {}, chosen, acts) for window in windows)
    many = " many" if len(windows) > MANY else ""
    start, end = first["start_seconds"], last["end_seconds"]
    return (
        f'{STYLE}{_picture_style(pictures or {})}<div class="svib">'
        f'<div class="strip" aria-hidden="true">{_strip(windows, chosen)}</div>'
        f'<div class="ends"><span>{clock(start)}</span><span>{clock((start + end) / 2)}</span>'
        f"<span>{clock(end)}</span></div>{_to_drag(pictures or {}) if on_drop else ''}"
        f'<div class="cards{many}">{shown}</div></div>'
    )


def _strip(windows: Sequence[Mapping[str, Any]], chosen: int | None) -> str:
    """The windows as long as they are; every one, fifth or tenth has its number."""
    every = 1 if len(windows) <= MANY else 5 if len(windows) <= 60 else 10
    parts = []
    for window in windows:
        number = window["window"]
        marks = " ".join(
            mark
            for mark, there in (("on", number == chosen), ("bad", window.get("mistake")))
            if there
        )
        length = window["end_seconds"] - window["start_seconds"]
        told = number if number == 1 or number % every == 0 else ""
        parts.append(f'<i class="{marks}" style="flex:{100 * length:.2f} 1 0">{told}</i>')
    return "".join(parts)


def _picture_style(pictures: Mapping[int, str]) -> str:
    """Each picture once, however many windows it serves."""
    rules = (
        f".svib .p{number}{{background-image:url('{escape(address)}')}}"
        for number, address in pictures.items()
    )
    return f"<style>{''.join(rules)}</style>" if pictures else ""


def _to_drag(pictures: Mapping[int, str]) -> str:
    """The pictures, each to be dragged onto a card."""
    found = "".join(
        f'<span class="pic p{number}" draggable="true" data-picture="{number}" title="{name}"'
        f" ondragstart=\"event.dataTransfer.setData('text/plain','svi {number}')\""
        f"><b>{number or 'start'}</b></span>"
        for number, name in ((n, f"anchor image {n}" if n else "start image") for n in pictures)
    )
    return (
        f'<div class="pics">{found}<span class="soft">Drag a picture onto a window: it becomes its'
        " anchor. Or choose the window, and its anchor below.</span></div>"
    )


def _dropping(on_drop: str, number: int) -> str:
    """A card's attributes for a picture that is dropped on it."""
    if not on_drop:
        return ""
    dropped = (
        "this.classList.remove('over');event.preventDefault();"
        "const said=event.dataTransfer.getData('text/plain').match(/^svi (\\d+)$/);"
        f"if(said){{const picture=said[1];{on_drop % number}}}"
    )
    over = "event.preventDefault();this.classList.add('over')"
    left = "this.classList.remove('over')"
    return f' ondragover="{over}" ondragleave="{left}" ondrop="{escape(dropped)}"'


def _card(
    window: Mapping[str, Any], pictures: Mapping[int, str], chosen: int | None, acts: _Acts
) -> str:
    number, anchor = window["window"], window["anchor"]
    mistake = window.get("mistake")
    served = f"anchor {anchor}" if anchor else "start image"
    seconds = f"{clock(window['start_seconds'])}-{clock(window['end_seconds'])}"
    frames = f"{window['delivers']} frames"
    if window["dropped"]:
        frames += f", {window['dropped']} overlap"
    elif number > 1:
        frames += ", a new shot"
    picture = f'<span class="pic p{anchor}"></span>' if anchor in pictures else ""
    about = [f"seed {window['seed']}", served, *([window["cost"]] if window.get("cost") else [])]
    if window.get("loras"):
        about.append(f"LoRA {' '.join(window['loras'])}")
    classes = f"card{' on' if number == chosen else ''}{' bad' if mistake else ''}"
    click = f' onclick="{escape(acts.click % number)}"' if acts.click else ""
    click += _dropping(acts.drop, number)
    said = f'<span class="mistake">{escape(mistake)}</span>' if mistake else ""
    return (
        f'<button type="button" class="{classes}" data-window="{number}"'
        f' aria-pressed="{str(number == chosen).lower()}" aria-label="Window {number}"{click}>'
        f'<span class="top"><b>{number}</b><span class="soft">{seconds}</span></span>'
        f'<span class="row">{picture}<span class="soft">{escape(frames)}<br>'
        f"{escape(', '.join(map(str, about)))}</span></span>{_words(window)}{said}</button>"
    )


def _words(window: Mapping[str, Any]) -> str:
    """A window's words; where they are timed, each with when it acts, and all as a bar to scale."""
    words = [part for part in window["words"] if part["text"]]
    if len(window["words"]) < 2:
        text = words[0]["text"] if words else "no words"
        return f'<span class="words">{escape(text)}</span>'
    bars, lines = [], []
    for place, part in enumerate(window["words"]):
        colour = BARS[place % len(BARS)]
        length = part["end_seconds"] - part["start_seconds"]
        bars.append(f'<span style="flex:{100 * length:.2f} 1 0;background:{colour}"></span>')
        when = f"{part['start_seconds']:.2f}-{part['end_seconds']:.2f} s"
        lines.append(
            f'<span class="words"><span class="dot" style="background:{colour}"></span>'
            f'<span class="soft">{when}</span> {escape(part["text"] or "no words")}</span>'
        )
    return f'<span class="bar">{"".join(bars)}</span>{"".join(lines)}'
