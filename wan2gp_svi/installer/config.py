"""Our plugin's name in the list of plugins that wgp_config.json enables, in and out again.

WanGP loads a plugin only when that list names it. The text is edited, not written anew, so that
taking the name out leaves the very bytes that were there.
"""

from __future__ import annotations

import json
import re

from wan2gp_svi.installer.journal import STATE
from wan2gp_svi.installer.payload import PLUGIN

CONFIG = "wgp_config.json"
WAITING = f"{STATE}/enable-plugin"
"""Lies there until WanGP, which had no configuration yet, has one and names our plugin in it."""
_NAME = PLUGIN.rpartition("/")[2]
_QUOTED = json.dumps(_NAME).encode()
_LIST = re.compile(rb'("enabled_plugins"\s*:\s*\[)([^\[\]]*)(\])')
_WHOLE_ENTRY = b',"enabled_plugins":[' + _QUOTED + b"]"  # spaced as no JSON writer does


def enable(text: bytes) -> bytes:
    """The configuration with our plugin enabled; as it is when that cannot be done safely."""
    wanted = _parsed(text)
    if wanted is None:
        return text
    enabled = wanted.setdefault("enabled_plugins", [])
    if not isinstance(enabled, list) or _NAME in enabled:
        return text
    enabled.append(_NAME)
    found = _LIST.search(text)
    if found is None:
        end = len(text[: text.rindex(b"}")].rstrip())
        new = text[:end] + _WHOLE_ENTRY + text[end:]
    else:
        body = found[2]
        names = body.rstrip()
        space = body[: len(body) - len(body.lstrip())] or b" "
        body = names + b"," + space + _QUOTED + body[len(names) :] if names else _QUOTED + body
        new = text[: found.start(2)] + body + text[found.end(2) :]
    return new if _parsed(new) == wanted else text


def disable(text: bytes) -> bytes:
    """The configuration without our plugin's name; as it is when that name is not in it."""
    wanted = _parsed(text)
    if wanted is None or _NAME not in _names(wanted):
        return text
    if _WHOLE_ENTRY in text:
        return text.replace(_WHOLE_ENTRY, b"", 1)
    wanted["enabled_plugins"] = [name for name in wanted["enabled_plugins"] if name != _NAME]
    quoted = re.escape(_QUOTED)
    for pattern in (rb",\s*" + quoted, quoted + rb"\s*,\s*", quoted):
        found = _LIST.search(text)
        if found is None:
            break
        body = re.sub(pattern, b"", found[2], count=1)
        new = text[: found.start(2)] + body + text[found.end(2) :]
        if _parsed(new) == wanted:
            return new
    return text


def _names(config: dict) -> list:
    names = config.get("enabled_plugins")
    return names if isinstance(names, list) else []


def _parsed(text: bytes) -> dict | None:
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
