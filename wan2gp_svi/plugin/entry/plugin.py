"""wan2gp-svi as WanGP's plugin manager finds it: plugins/wan2gp-svi/plugin.py."""

from pathlib import Path

import gradio as gr
from shared.utils.plugins import WAN2GPPlugin

try:
    from wan2gp_svi.plugin import hooks_lost
except Exception:  # the package was deleted and this file was not: nothing to say
    hooks_lost = None  # type: ignore[assignment]


class SVIPlugin(WAN2GPPlugin):
    """Adds nothing to the page while the hooks are in, and a tab that says so when they are not."""

    def __init__(self):
        super().__init__()
        self.name = "wan2gp-svi"
        self.version = "0.1.0"
        self.description = "Stable Video Infinity: long videos that do not drift"
        self.uninstallable = False  # `install.bat uninstall` or `install.sh uninstall` takes it out

    def setup_ui(self):
        text = hooks_lost.sentence(Path.cwd()) if hooks_lost else None
        if text is None:
            return
        print(f"[SVI] {text}")
        self.add_tab("wan2gp_svi_lost", "SVI needs mending", lambda: gr.Markdown(text))
