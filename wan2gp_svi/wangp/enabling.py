"""Our plugin, with the tab SVI, is enabled where WanGP had no configuration when it was installed.

Later it is the user's to switch off: the file that the installer has left is gone then.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from wan2gp_svi import files
from wan2gp_svi.installer import config
from wan2gp_svi.installer.payload import PLUGIN
from wan2gp_svi.wangp.console import say


def attach(wgp: dict[str, Any]) -> None:
    """Once, at the first start: WanGP has written its configuration, and loads no plugin yet."""
    waiting = Path(config.WAITING)
    path = Path(str(wgp.get("server_config_filename") or config.CONFIG))
    if not waiting.is_file() or not path.is_file():
        return
    try:
        text = config.enable(path.read_bytes())
        with files.whole(path) as part:
            part.write_bytes(text)
        waiting.unlink()
    except OSError as error:
        say(f"the tab SVI could not be switched on in {path.name}: {error.strerror or error}")
        return
    enabled = wgp.get("server_config", {}).setdefault("enabled_plugins", [])
    name = PLUGIN.rpartition("/")[2]
    if isinstance(enabled, list) and name not in enabled:
        enabled.append(name)
