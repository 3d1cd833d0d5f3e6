"""wan2gp-svi as WanGP's plugin manager finds it: plugins/wan2gp-svi/plugin.py."""

from pathlib import Path

import gradio as gr
from shared.utils.plugins import WAN2GPPlugin

try:
    from wan2gp_svi.plugin import hooks_lost, selftest_due
except Exception:  # the package was deleted and this file was not: nothing to say
    hooks_lost = selftest_due = None  # type: ignore[assignment]


class SVIPlugin(WAN2GPPlugin):
    """Adds nothing to the page while all is well, and a tab that says so when it is not."""

    def __init__(self):
        super().__init__()
        self.name = "wan2gp-svi"
        self.version = "0.1.0"
        self.description = "Stable Video Infinity: long videos that do not drift"
        self.uninstallable = False  # `install.bat uninstall` or `install.sh uninstall` takes it out

    def setup_ui(self):
        lost = hooks_lost.sentence(Path.cwd()) if hooks_lost else None
        if lost is not None:
            self._tell("wan2gp_svi_lost", "SVI needs mending", lost)
            return
        due = selftest_due.sentence(Path.cwd()) if selftest_due else None
        if due is not None:
            self._tell("wan2gp_svi_selftest", "SVI self-test", due)

    def _tell(self, tab, title, text):
        print(f"[SVI] {text}")
        self.add_tab(tab, title, lambda: gr.Markdown(text))
