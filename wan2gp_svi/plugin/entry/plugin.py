"""wan2gp-svi as WanGP's plugin manager finds it: plugins/wan2gp-svi/plugin.py."""

import time
import traceback
from pathlib import Path

import gradio as gr
from shared.utils.plugins import WAN2GPPlugin

try:
    from wan2gp_svi.plugin import hooks_lost, selftest_due
except Exception:  # the package was deleted and this file was not: nothing to say
    hooks_lost = selftest_due = None  # type: ignore[assignment]


class SVIPlugin(WAN2GPPlugin):
    """The tab SVI; where WanGP has lost the hooks, a tab that says so and puts them back."""

    def __init__(self):
        super().__init__()
        self.name = "SVI (wan2gp-svi)"
        self.version = "0.1.0"
        self.description = "Stable Video Infinity: long videos that do not drift"
        self.uninstallable = False  # `install.bat uninstall` or `install.sh uninstall` takes it out

    def setup_ui(self):
        if hooks_lost is None:
            return
        lost = hooks_lost.sentence(Path.cwd())
        if lost is not None:
            print(f"[SVI] {lost}")
            self.add_tab("wan2gp_svi_lost", "SVI needs mending", lambda: self._mend(lost))
            return
        due = selftest_due.sentence(Path.cwd())
        if due is not None:
            print(f"[SVI] {due}")
        for name in ("state", "refresh_form_trigger", "main_tabs", "model_choice_target"):
            self.request_component(name)
        self.request_global("get_current_model_settings")
        self.add_tab("wan2gp_svi", "SVI", lambda: self._tab(due or ""))

    def on_tab_select(self, state):
        return str(time.time())  # the tab draws itself anew

    def _mend(self, lost):
        gr.Markdown(lost)
        try:
            from wan2gp_svi.plugin.tab import build_health

            build_health(Path.cwd())
        except Exception:  # the sentence says what mends it
            traceback.print_exc()

    def _tab(self, note):
        try:
            from wan2gp_svi.plugin.tab import Tab

            Tab(self, note).build()
        except Exception as error:  # WanGP must start, and SVI runs without its tab
            traceback.print_exc()
            gr.Markdown(f"The tab SVI could not be made ({error!r}). SVI itself works.")
