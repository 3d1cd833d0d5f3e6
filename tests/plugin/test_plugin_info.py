"""What WanGP's page Plugins reads of ours."""

from __future__ import annotations

import json
from pathlib import Path

from wan2gp_svi.installer import payload

ENTRY = Path(payload.__file__).parents[1] / "plugin" / "entry"


def test_the_page_plugins_offers_no_second_install():
    info = json.loads((ENTRY / "plugin_info.json").read_text("utf-8"))
    assert info["uninstallable"] is False  # else, disabled, it is offered as "Install"
    assert info["author"]
    assert info["version"] in (ENTRY / "plugin.py").read_text("utf-8")


def test_the_guide_that_drafts_go_by_is_installed():
    files = payload.files(payload.source_folder())
    assert files[f"wan2gp_svi/payload/{payload.GUIDE}"].startswith(b"# Prompts for SVI")
