"""Is WanGP running? Two of them would share a graphics card, and the test would say little."""

from __future__ import annotations

from pathlib import Path


def is_running(root: Path) -> bool:
    """Whether a process of this user runs wgp.py of the folder `root`.

    mmgp, which WanGP needs, brings psutil; without it the answer is no.
    """
    try:
        import psutil
    except ImportError:
        return False
    wanted = root / "wgp.py"
    for process in psutil.process_iter(["cmdline", "cwd"]):
        words, folder = process.info["cmdline"] or [], process.info["cwd"]
        for word in words:
            if Path(word).name != "wgp.py":
                continue
            try:
                if Path(folder or "", word).samefile(wanted):
                    return True
            except OSError:
                continue
    return False
