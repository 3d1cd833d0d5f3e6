"""Where the run stands that is on, in words. No Gradio."""

from __future__ import annotations

from html import escape

from wan2gp_svi.plugin.form import length
from wan2gp_svi.wangp.progress import Progress


def told(run: Progress | None, now: float) -> str:
    """HTML, "" where no run is on. `now` as `time.monotonic` gives it."""
    if run is None:
        return ""
    used = length(now - run.began)
    if not run.window:
        return _box("SVI is about to begin: the model is loaded", f"{used} used", 0.0, "")
    left = run.left(now)
    times = f"{used} used" + ("" if left is None else f", about {length(left)} left")
    count = run.windows - run.first + 1
    share = (run.window - run.first) / max(count, 1)
    words = "".join(
        f"<li>{start:.2f}-{stop:.2f} s: {escape(text)}</li>" for start, stop, text in run.words
    )
    about = f"<div>{escape(run.said)}</div><ul>{words}</ul>"
    return _box(f"Window {run.window} of {run.windows}", times, share, about)


def _box(title: str, times: str, share: float, about: str) -> str:
    percent = round(100 * min(max(share, 0.0), 1.0))
    return (
        "<style>#svi_running .pending{opacity:1!important}</style>"  # Gradio dims what it renews
        '<div class="svi-run" role="status" style="border:1px solid var(--border-color-primary);'
        'border-radius:8px;padding:10px;margin-bottom:8px">'
        f"<b>{escape(title)}</b> · {escape(times)}"
        '<div style="height:6px;border-radius:3px;background:var(--border-color-primary);'
        'margin:6px 0"><div style="height:100%;border-radius:3px;background:'
        f'var(--color-accent,#0ea5e9);width:{percent}%"></div></div>{about}</div>'
    )
