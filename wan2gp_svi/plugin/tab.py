"""The tab SVI on WanGP's page: what is drawn and filled in is decided in the files beside this one.

Everything is worked out anew from the form that WanGP keeps for this browser (its `state`); nothing
is kept here, so two browsers never mix. An edit goes into that form at once, and the form is drawn
again.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr

from wan2gp_svi.errors import UserError
from wan2gp_svi.plugin import chains, draft_box, form, health, pictures, standing
from wan2gp_svi.report.storyboard import storyboard
from wan2gp_svi.wangp import progress
from wan2gp_svi.wangp.names import PRO
from wan2gp_svi.wangp.settings import CONTROLS, HELP, IN_TAB

CHOOSE = (
    "const f=document.querySelector('#svi_window input');f.value=%d;"
    "f.dispatchEvent(new Event('input',{bubbles:true}));"
    "f.dispatchEvent(new Event('change',{bubbles:true}));"
    "f.dispatchEvent(new FocusEvent('blur'));"
)
"""A click on a card puts its number into the field "Window"."""
DROP = (
    "const f=document.querySelector('#svi_dropped textarea, #svi_dropped input');"
    "f.value='%d '+picture+' '+Date.now();f.dispatchEvent(new Event('input',{bubbles:true}));"
)
"""A picture that is dropped on a card puts both numbers into a field that is not shown."""
FIT = (
    "() => { for (const wait of [100, 1000]) setTimeout(() => {"
    "for (const box of document.querySelectorAll('textarea')) {"
    "if (!box.style.height || box.clientWidth < 60) continue;"
    "const now = box.offsetHeight, style = getComputedStyle(box);"
    "const least = parseFloat(style.paddingTop) + parseFloat(style.paddingBottom)"
    " + box.rows * parseFloat(style.lineHeight);"
    "box.style.height = '1px';"
    "box.style.height = Math.min(now, Math.max(least, box.scrollHeight)) + 'px';"
    "}}, wait); }"
)
"""Gradio measures a text box when its text changes. WanGP's form is a few pixels wide while another
tab is open, so what is filled in then comes out far too tall: it is shrunk to its text when the
tabs change.
"""
HIDDEN = "<style>#svi_dropped{display:none!important}</style>"
EVERY = 2.0
"""Seconds between two looks at a run that is on."""


class Tab:
    """The tab of one page.

    `plugin` is WanGP's, with the components that it asked for, and one function of wgp.py, by which
    its names are known.
    """

    def __init__(self, plugin: Any, note: str = "") -> None:
        self.plugin = plugin
        self.note = note

    # -- what the page is asked for ------------------------------------------------------------

    @property
    def wgp(self) -> dict[str, Any]:
        """The globals of wgp.py."""
        return self.plugin.get_current_model_settings.__globals__

    def _form(self, state: dict) -> tuple[str, form.Form]:
        """The model that is chosen, and its settings: WanGP's own, to be changed in place."""
        return self.wgp["get_state_model_type"](state), self.plugin.get_current_model_settings(
            state
        )

    def film(self, state: dict) -> tuple[form.Film, form.Form]:
        """What the form comes to, and the form."""
        _, settings = self._form(state)
        return self.film_of(state, settings), settings

    def film_of(self, state: dict, settings: form.Form) -> form.Film:
        """What settings of the chosen model come to."""
        return form.film_of(self.wgp, state, self._form(state)[0], settings)

    def _folder(self) -> Path:
        return Path(str(self.wgp.get("save_path") or "outputs")).absolute()

    # -- the page ------------------------------------------------------------------------------

    def build(self) -> None:
        """All of it."""
        with gr.Column(elem_id="svi_tab"):
            if self.note:
                gr.Markdown(self.note)
            self.visit = gr.Textbox(visible=False)
            self.running = gr.HTML(visible=False, elem_id="svi_running")
            self.timer = gr.Timer(EVERY, active=False)
            with gr.Tabs() as self.inner:
                with gr.Tab("Storyboard", id="svi_storyboard"):
                    self._storyboard()
                with gr.Tab("Go on", id="svi_go_on"):
                    self._go_on()
                with gr.Tab("Report", id="svi_report"):
                    self._report()
                with gr.Tab("Health", id="svi_health"):
                    build_health(Path.cwd(), self._lora_folder)
        self.plugin.on_tab_outputs = [self.visit]
        self.plugin.main_tabs.change(None, js=FIT)
        drawn = [*self.board_outputs, *self.editor_outputs]
        self.visit.change(
            self._draw, [self.plugin.state, self.number], drawn, show_progress="hidden", queue=False
        ).then(self._videos, None, [self.video, self.looked_at], show_progress="hidden").then(
            self._stands,
            [self.plugin.state],
            [self.running, self.timer],
            show_progress="hidden",
            queue=False,
        )
        self.timer.tick(
            self._stands,
            [self.plugin.state],
            [self.running, self.timer],
            show_progress="hidden",
            queue=False,
        )

    def _storyboard(self) -> None:
        state = self.plugin.state
        gr.Markdown(
            "A long video is made window after window, each going on from the one before. A card is"
            " a window: choose it, and change below the cards what happens in it, its picture, its"
            " seed. Then **To the form**, and Generate there."
        )
        self.summary = gr.Markdown()
        with gr.Row():
            self.count = gr.Number(
                label="Windows", precision=0, minimum=1, scale=1, elem_id="svi_windows"
            )
            self.seconds = gr.Number(label="Seconds, exactly", minimum=0, scale=1)
            set_length = gr.Button("Use this length", scale=1)
            choose = gr.Button("Choose SVI 2 Pro", visible=False, scale=1)
            back = gr.Button("To the form", scale=1)
        self.choose = choose
        self.board = gr.HTML(elem_id="svi_board")
        gr.HTML(HIDDEN, visible=True, padding=False)
        dropped = gr.Textbox(elem_id="svi_dropped", container=False, show_label=False)
        with gr.Group(visible=False) as self.editor:
            self.number = gr.Number(
                value=1, label="Window", precision=0, minimum=1, elem_id="svi_window"
            )
            self.words = gr.Textbox(
                label="Its words",
                lines=4,
                info="What stands outside parentheses holds all the time. In time:"
                " (at 2 seconds: she looks up).",
                elem_id="svi_words",
            )
            with gr.Row():
                self.seed = gr.Textbox(
                    label="Its seed", info="Empty: by the rule again.", elem_id="svi_seed"
                )
                self.anchor = gr.Dropdown(
                    label="Its anchor",
                    choices=[],
                    info="The picture that people, clothes and place are held to.",
                    elem_id="svi_anchor",
                )
            self.picture = gr.Image(
                label="A new picture as its anchor", type="pil", height=180, elem_id="svi_picture"
            )
        edited, filled = gr.Textbox(visible=False), gr.Textbox(visible=False)
        draft_box.build(self, [self.plugin.refresh_form_trigger, filled], self._change)
        with gr.Accordion("All settings of SVI", open=False):
            self.settings = {one["id"]: _control(one) for one in (*CONTROLS, *IN_TAB)}
            keep = gr.Button("Put these settings into the form")
        self.board_outputs = [self.summary, self.board, self.editor, choose, self.count]
        self.board_outputs += [self.seconds]
        self.editor_outputs = [self.number, self.words, self.seed, self.anchor, self.picture]
        self.editor_outputs += list(self.settings.values())
        # An edit draws the board again only: who goes on typing in another field loses nothing.
        where: dict[str, Any] = {"inputs": [state, self.number], "show_progress": "hidden"}
        parts = [*self.board_outputs, self.anchor, self.picture]
        edited.change(self._draw_board, outputs=parts, queue=False, **where)
        for trigger in (filled, self.number):
            drawn = [*self.board_outputs, *self.editor_outputs]
            trigger.change(self._draw, outputs=drawn, queue=False, **where)
        refresh = self.plugin.refresh_form_trigger
        for event, edit, value in (
            (self.words.blur, self._words, self.words),
            (self.seed.blur, self._seed, self.seed),
            (self.seed.submit, self._seed, self.seed),
            (self.anchor.input, self._anchor, self.anchor),
            (self.picture.upload, self._picture, self.picture),
        ):
            event(edit, [state, self.number, value], [refresh, edited], show_progress="hidden")
        dropped.input(self._dropped, [state, dropped], [refresh, edited], show_progress="hidden")
        lengths = [state, self.count, self.seconds]
        for event in (self.count.submit, self.seconds.submit, set_length.click):
            event(self._length, lengths, [refresh, filled], show_progress="hidden")
        named = [state, *self.settings.values()]
        keep.click(self._keep, named, [refresh, filled], show_progress="hidden")
        choose.click(
            self._choose, [state], [self.plugin.model_choice_target, self.plugin.main_tabs]
        )
        back.click(self._to_form, [state], [self.plugin.main_tabs])

    def _go_on(self) -> None:
        state = self.plugin.state
        gr.Markdown(
            "Videos with a hand-over file: from them it goes on as if it had never stopped. A"
            " button fills the form; press Generate there."
        )
        with gr.Row():
            self.video = gr.Dropdown(label="Video", choices=[], elem_id="svi_video", scale=4)
            look = gr.Button("Look again", scale=1)
        chain = gr.HTML(elem_id="svi_chain")
        with gr.Row():
            on = gr.Button("Continue from here", variant="primary")
            rest = gr.Button("Resume its run")
            take = gr.Button("Another take of its last window")
        with gr.Row():
            number = gr.Number(
                value=2, label="Window", precision=0, minimum=2, elem_id="svi_again_window"
            )
            seed = gr.Textbox(
                label="With the seed", info="Empty: another one.", elem_id="svi_again_seed"
            )
        words = gr.Textbox(label="With the words", info="Empty: the same.", lines=2)
        again = gr.Button("Make this window again")
        said = gr.Markdown(elem_id="svi_said")
        back = gr.Button("To the form")
        outputs = [said, self.plugin.refresh_form_trigger, self.plugin.model_choice_target]
        self.video.change(self._chain, [self.video], [chain, number], **QUIET)
        self.looked_at = gr.Dropdown(
            label="Video", choices=[], elem_id="svi_looked_at", scale=4, render=False
        )
        look.click(self._videos, None, [self.video, self.looked_at], **QUIET)
        on.click(self._fill(self._continue), [state, self.video], outputs)
        rest.click(self._fill(self._resume), [state, self.video], outputs)
        take.click(self._fill(self._take), [state, self.video], outputs)
        again.click(self._fill(self._again), [state, self.video, number, seed, words], outputs)
        back.click(self._to_form, [state], [self.plugin.main_tabs])

    def _report(self) -> None:
        gr.Markdown(
            "Did a long video hold, where did it not, and what helps? It is read once, and nothing"
            " else waits for it."
        )
        with gr.Row():
            self.looked_at.render()
            look = gr.Button("Look at it", variant="primary")
        sheet = gr.Image(
            label="Drift", show_label=False, interactive=False, elem_id="svi_sheet", type="numpy"
        )
        told = gr.Markdown(elem_id="svi_told")
        look.click(_report, [self.looked_at], [sheet, told])

    # -- storyboard ----------------------------------------------------------------------------

    def _draw(self, state: dict, number: float | None) -> list[Any]:
        """The board and the editor of one window, from the form as it is now."""
        film, settings = self.film(state)
        custom = form.told_settings(settings)
        controls = [custom.get(one["id"], one["default"]) for one in (*CONTROLS, *IN_TAB)]
        if not film.windows:
            model_type, _ = self._form(state)
            other = not form.is_svi(self.wgp, state, model_type, settings)
            text = (
                "The form is of a model without SVI. Choose Wan2.2, Image2video 14B, SVI 2 Pro."
                if other
                else f"**There is no plan yet:** {film.problem}"
            )
            same = [gr.skip()] * 4
            return [
                text,
                "",
                gr.update(visible=False),
                gr.update(visible=other),
                None,
                None,
                gr.skip(),
                *same,
                *controls,
            ]
        first, last = film.windows[0]["window"], film.windows[-1]["window"]
        chosen = min(max(int(number or first), first), last)
        window = film.windows[chosen - first]
        notes = [*film.mistakes, *film.notes]
        text = "\n\n".join([form.summary(film, settings), "\n".join(f"- {note}" for note in notes)])
        shown = pictures.of_form(settings)
        if film.starts_on_anchor and 1 in shown:
            shown = {0: shown[1], **shown}
        board = storyboard(film.windows, shown, chosen, CHOOSE, DROP)
        anchors = [("start image", 0)]
        anchors += [(f"anchor image {k}", k) for k in range(1, _anchors(settings) + 1)]
        return [
            text,
            board,
            gr.update(visible=True),
            gr.update(visible=False),
            len(film.windows),
            round(film.seconds, 2),
            chosen,
            form.words_of(film, chosen - first),
            str(window["seed"]) if film.seeds_known else "",
            gr.update(choices=anchors, value=window["anchor"]),
            None,
            *controls,
        ]

    def _draw_board(self, state: dict, number: float | None) -> list[Any]:
        """The board, and of the editor what an edit may have changed beside its own field."""
        drawn = self._draw(state, number)
        beside = len(self.board_outputs)
        at = self.editor_outputs.index(self.anchor)
        return [*drawn[:beside], drawn[beside + at], drawn[beside + at + 1]]

    def _choose(self, state: dict) -> tuple[str, Any]:
        """SVI 2 Pro on the form, and there."""
        gr.Info("SVI 2 Pro is being chosen. The tab SVI then shows the windows of your video.")
        return f"{PRO}|{time.time()}" if self._takes_time() else PRO, self._to_form(state)

    def _change(self, state: dict, edit: Callable[[form.Film, form.Form], form.Form]) -> Any:
        """An edit into the form, which is drawn again; a sentence where it cannot be made."""
        film, settings = self.film(state)
        try:
            changed = edit(film, settings)
        except UserError as error:
            gr.Warning(str(error))
            return gr.skip(), gr.skip()
        if all(settings.get(name) == value for name, value in changed.items()):
            return gr.skip(), gr.skip()
        settings.update(changed)
        return str(time.time()), str(time.time())

    def _length(self, state: dict, windows: float | None, seconds: float | None) -> Any:
        """As many windows, or as many seconds: whichever is not what it was."""

        def changed(film: form.Film, settings: form.Form) -> form.Form:
            if windows and int(windows) != len(film.windows):
                return form.with_length(film, int(windows))
            if seconds and round(seconds, 2) != round(film.seconds, 2):
                return form.with_seconds(film, settings, seconds)
            return {}

        return self._change(state, changed)

    def _words(self, state: dict, number: float, text: str) -> Any:
        def changed(film: form.Film, settings: form.Form) -> form.Form:
            place = _place(film, number)
            same = text.strip() == form.words_of(film, place).strip()
            return {} if same else form.with_prompt(film, place, text)

        return self._change(state, changed)

    def _seed(self, state: dict, number: float, text: str) -> Any:
        def changed(film: form.Film, settings: form.Form) -> form.Form:
            place = _place(film, number)
            now = str(film.windows[place]["seed"]) if film.seeds_known else ""
            if text.strip() == now:
                return {}
            return form.with_seed(film, settings, place, text)

        return self._change(state, changed)

    def _anchor(self, state: dict, number: float, anchor: int) -> Any:
        return self._change(
            state, lambda film, old: form.with_anchor(film, old, _place(film, number), int(anchor))
        )

    def _dropped(self, state: dict, said: str) -> Any:
        """A picture onto a card: "window picture time"."""
        window, picture = (int(part) for part in said.split()[:2])
        return self._anchor(state, window, picture)

    def _picture(self, state: dict, number: float, picture: Any) -> Any:
        if picture is None:
            return gr.skip(), gr.skip()
        return self._change(
            state, lambda film, old: form.with_picture(film, old, _place(film, number), picture)
        )

    def _keep(self, state: dict, *values: Any) -> Any:
        named = dict(zip(self.settings, values, strict=True))
        return self._change(state, lambda film, old: form.with_settings(old, named))

    def _takes_time(self) -> bool:
        """Whether WanGP's target of a model takes a time behind its name (12 on)."""
        return "switch_to_model" in self.wgp

    def _to_form(self, state: dict) -> Any:
        go = getattr(self.plugin, "goto_media_tab", None) or getattr(
            self.plugin, "goto_video_tab", None
        )
        return gr.skip() if go is None else go(state)

    def _lora_folder(self) -> Path:
        return Path(str(self.wgp["get_lora_dir"](PRO))).absolute()

    # -- going on ------------------------------------------------------------------------------

    def _videos(self) -> tuple[Any, Any]:
        """The videos of WanGP's folder: with a hand-over, and all."""
        found = chains.choices(chains.videos_in(self._folder()))
        others = [path for path in _newest(self._folder()) if str(path) not in dict(found).values()]
        every = [*found, *((path.name, str(path)) for path in others)]
        return gr.update(choices=found), gr.update(choices=every)

    def _chain(self, path: str | None) -> tuple[str, Any]:
        if not path:
            return "", gr.skip()
        told = chains.drawn(chains.videos_in(self._folder()), Path(path))
        count = next(
            (v.windows for v in chains.videos_in(Path(path).parent) if str(v.path) == path), 2
        )
        return told, max(count, 2)

    def _continue(self, path: Path) -> tuple[form.Form, str]:
        return chains.going_on(path)

    def _resume(self, path: Path) -> tuple[form.Form, str]:
        return chains.resumed(path, functools.partial(form.prompts_of, self.wgp))

    def _take(self, path: Path) -> tuple[form.Form, str]:
        video = next((v for v in chains.videos_in(path.parent) if v.path == path), None)
        return chains.again(path, video.windows if video else 0, None, None)

    def _again(self, path: Path, number: float, seed: str, words: str) -> tuple[form.Form, str]:
        text = seed.strip()
        if text and (not text.isdigit() or int(text) > form.LAST_SEED):
            raise UserError(f"A seed is a whole number up to {form.LAST_SEED}, not {text!r}.")
        return chains.again(path, int(number or 0), int(text) if text else None, words.strip())

    def _fill(self, make: Callable[..., tuple[form.Form, str]]) -> Callable[..., Any]:
        """A button's work: the form that `make` gives becomes the page's."""

        def filled(state: dict, path: str | None, *more: Any) -> tuple[Any, Any, Any]:
            if not path:
                gr.Warning("Choose a video first.")
                return gr.skip(), gr.skip(), gr.skip()
            try:
                new, said = make(Path(path), *more)
            except UserError as error:
                gr.Warning(str(error))
                return f"**{error}**", gr.skip(), gr.skip()
            model_type, _ = self._form(state)
            wanted = str(new.get("model_type") or PRO)
            wgp = self.wgp
            settings = dict(wgp["get_model_settings"](state, wanted) or {}) or dict(
                wgp["get_default_settings"](wanted)
            )
            settings |= {**new, "image_start": None, "image_end": None, "image_refs": None}
            wgp["set_model_settings"](state, wanted, settings)
            said = f"**In the form now.** {said}"
            if wanted == model_type:
                return said, str(time.time()), gr.skip()
            target = f"{wanted}|{time.time()}" if self._takes_time() else wanted
            return said, gr.skip(), target

        return filled

    # -- a run that is on ----------------------------------------------------------------------

    def _stands(self, state: dict) -> tuple[Any, Any]:
        """Where the run of this browser stands; looked at again while one is on, or is waiting."""
        gen = self.wgp["get_gen_info"](state)
        run = progress.of(gen)
        on = run is not None or bool(gen.get("in_progress"))
        told = standing.told(run, time.monotonic())
        return gr.update(value=told, visible=bool(told)), gr.Timer(EVERY, active=on)


QUIET: dict[str, Any] = {"show_progress": "hidden"}


def _control(one: dict[str, Any]) -> Any:
    """A setting of ours, with what it does."""
    about = {"label": one["name"], "info": HELP[one["id"]]}
    if one["type"] == "dropdown":
        return gr.Dropdown(choices=one["choices"], value=one["default"], **about)
    if one["type"] == "text":
        return gr.Textbox(value=one["default"], **about)
    return gr.Slider(one["min"], one["max"], value=one["default"], step=one["inc"], **about)


def _anchors(settings: form.Form) -> int:
    return len(settings.get("image_refs") or [])


def _place(film: form.Film, number: float | None) -> int:
    """Where in this run a window's number stands."""
    first = film.windows[0]["window"] if film.windows else 1
    return min(max(int(number or first) - first, 0), max(len(film.windows) - 1, 0))


def _newest(folder: Path, most: int = 100) -> list[Path]:
    try:
        files = [p for p in folder.iterdir() if p.suffix in chains.VIDEOS and p.is_file()]
    except OSError:
        return []
    return sorted(files, key=lambda path: path.stat().st_mtime, reverse=True)[:most]


def _report(path: str | None, bar: Any = gr.Progress()) -> tuple[Any, str]:  # noqa: B008 (Gradio's way)
    """The drift report of a video: its picture, and the verdict."""
    if not path:
        gr.Warning("Choose a video first.")
        return None, ""
    try:
        from wan2gp_svi.report.look import looked_at

        picture, lines = looked_at(
            Path(path), lambda done, all_: bar((done, all_), desc="Looking", unit="frames")
        )
    except UserError as error:
        gr.Warning(str(error))
        return None, f"**{error}**"
    return picture, "\n".join(lines)


def build_health(root: Path, lora_folder: Callable[[], Path] | None = None) -> None:
    """Hooks, versions, self-test, LoRA files; works without the hooks."""
    said = gr.Markdown(lambda: "\n\n".join(health.told(root)), elem_id="svi_health_said")
    with gr.Row():
        look = gr.Button("Look again")
        back = gr.Button("Put the hooks back")
        test = gr.Button("Self-test")
    gr.Markdown(
        "The self-test makes short videos with tiny models in a WanGP of its own, on the processor;"
        " it takes some minutes, reads nothing of yours and does not disturb what is generated."
    )
    told = gr.Textbox(label="Result", lines=12, interactive=False, elem_id="svi_result")
    look.click(lambda: "\n\n".join(health.told(root)), None, [said])
    back.click(functools.partial(_put_back, root), None, [said])
    test.click(functools.partial(_test, root), None, [told]).then(
        lambda: "\n\n".join(health.told(root)), None, [said]
    )
    if lora_folder is None:
        return
    with gr.Accordion("LoRA files", open=False):
        with gr.Row():
            file = gr.Dropdown(label="LoRA file", choices=[], elem_id="svi_lora", scale=4)
            find = gr.Button("Look for files", scale=1)
        with gr.Row():
            inspect = gr.Button("What is it?")
            convert = gr.Button("Write it as WanGP reads it")
        about = gr.Textbox(label="About it", lines=10, interactive=False, elem_id="svi_lora_said")
    find.click(
        lambda: gr.update(
            choices=[(path.name, str(path)) for path in health.lora_files(lora_folder())]
        ),
        None,
        [file],
    )
    inspect.click(_asked(lambda path: health.inspected(path)), [file], [about])
    convert.click(
        _asked(lambda path: f"It is {health.converted(path).name} now, beside the old one."),
        [file],
        [about],
    )


def _asked(work: Callable[[Path], str]) -> Callable[[str | None], str]:
    def done(path: str | None) -> str:
        if not path:
            return "Look for files, and choose one first."
        try:
            return work(Path(path))
        except UserError as error:
            return str(error)

    return done


def _put_back(root: Path) -> str:
    try:
        said = health.put_hooks_back(root)
    except UserError as error:
        gr.Warning(str(error))
        return f"**{error}**"
    gr.Info(health.RESTART)
    return "\n\n".join([f"**{said}**", *health.told(root)])


def _test(root: Path, bar: Any = gr.Progress()) -> str:  # noqa: B008 (Gradio's way)
    bar(0.0, desc="WanGP is copied and started")
    return health.test(root, lambda share, text: bar(share, desc=text))
