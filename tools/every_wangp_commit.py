"""Installs into every WanGP commit that touched a hooked file, and takes it out again.

    python tools/every_wangp_commit.py GIT_DIR [--jobs 2] [--crlf] [--out results.json]

GIT_DIR is the git directory of a WanGP clone; nothing in it is changed. For each commit: check its
Python and JSON files out, install, compile every patched file, ask status, uninstall, and compare
every byte and mode with what was there before. Prints the table that patches/README.md holds.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import io
import json
import subprocess
import sys
import tempfile
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from wan2gp_svi.errors import UserError
from wan2gp_svi.installer import commands, find

FILES = (
    "wgp.py",
    "models/wan/any2video.py",
    "models/wan/wan_handler.py",
    "models/wan/modules/model.py",
)
WHOLE = "in, whole, out, identical"
NO_PYTHON = "WanGP's own file does not parse"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("git_dir", metavar="GIT_DIR")
    parser.add_argument("--since", default="2025-11-01", metavar="DATE")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="each N-th commit only")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="this many at a time")
    parser.add_argument("--crlf", action="store_true", help="give the four files CRLF endings")
    parser.add_argument("--out", metavar="FILE", help="write each commit's result as JSON")
    args = parser.parse_args()

    git_dir = Path(args.git_dir).resolve()
    listed = git(
        git_dir, "rev-list", "--full-history", f"--since={args.since}", "HEAD", "--", *FILES
    )
    commits = listed.split()[:: -args.every]  # oldest first
    share = -(-len(commits) // args.jobs)
    shares = [commits[at : at + share] for at in range(0, len(commits), share)]
    with ProcessPoolExecutor(args.jobs) as pool:
        done = pool.map(partial(several, git_dir, args.crlf), shares)
        results = [result for of_share in done for result in of_share]
    if args.out:
        Path(args.out).write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(table(results))
    return 0 if all(r["result"] in (WHOLE, NO_PYTHON) for r in results) else 1


def several(git_dir: Path, crlf: bool, commits: list[str]) -> list[dict]:
    """The result of each of these commits, one after the other in one checkout."""
    results = []
    with tempfile.TemporaryDirectory(prefix="every-wangp-") as folder:
        root = checkout_folder(git_dir, Path(folder) / "WanGP")
        for number, commit in enumerate(commits, 1):
            git(root, "checkout", "-q", "-f", commit)
            result = {"commit": commit, "date": git(root, "log", "-1", "--format=%cs").strip()}
            result.update(one(root, crlf))
            results.append(result)
            if result["result"] not in (WHOLE, NO_PYTHON):
                print(f"{commit[:8]} {result['version']}: {result['result']}", flush=True)
                git(root, "clean", "-fdxq")
            if number % 20 == 0:
                print(f"{number} of {len(commits)} commits done", file=sys.stderr, flush=True)
    return results


def checkout_folder(git_dir: Path, root: Path) -> Path:
    subprocess.run(["git", "clone", "-q", "-s", "-n", str(git_dir), str(root)], check=True)
    git(root, "config", "core.autocrlf", "false")
    git(root, "sparse-checkout", "set", "--no-cone", "*.py", "*.json", ".gitignore")
    return root


def one(root: Path, crlf: bool) -> dict[str, object]:
    """The result for the commit that is checked out in `root`."""
    files = [root / name for name in FILES]
    if crlf:
        for path in files:
            lines = path.read_bytes().replace(b"\r\n", b"\n")
            path.write_bytes(lines.replace(b"\n", b"\r\n"))
    before = snapshot(root)
    wangp = find.look(root)
    found: dict[str, object] = {"version": wangp.version, "native": wangp.native_svi}
    try:
        run("install", root)
    except UserError as error:
        broken = "does not parse as Python" in str(error) and not all(map(parses, files))
        unchanged = snapshot(root) == before
        refused = NO_PYTHON if broken else f"refused: {error}"
        return {**found, "result": refused if unchanged else f"changed, and {refused}"}
    for path in files:
        if not parses(path) or b"wan2gp-svi" not in path.read_bytes():
            return {**found, "result": f"{path.name} has no hook, or does not compile with it"}
    if run("status", root) != 0:
        return {**found, "result": "status is not whole"}
    run("uninstall", root)
    if snapshot(root) != before:
        return {**found, "result": "not identical after uninstall"}
    return {**found, "result": WHOLE}


def parses(path: Path) -> bool:
    try:
        compile(path.read_bytes(), path, "exec", dont_inherit=True)
    except (SyntaxError, ValueError):
        return False
    return True


def run(command: str, root: Path) -> int:
    args = argparse.Namespace(wangp=str(root), json=False, dry_run=False)
    with contextlib.redirect_stdout(io.StringIO()):
        return getattr(commands, command)(args)


def snapshot(root: Path) -> dict[str, tuple[int, str]]:
    """Mode and hash of every file, git's own left out but for its list of ignored paths."""
    found = {}
    for path in root.rglob("*"):
        name = path.relative_to(root).as_posix()
        if name.startswith(".git/") and name != ".git/info/exclude":
            continue
        data = path.read_bytes() if path.is_file() else b""
        found[name] = (path.lstat().st_mode, hashlib.sha256(data).hexdigest())
    return found


def table(results: list[dict]) -> str:
    """One line for each WanGP series (its version up to the first dot)."""
    series: dict[str, list[dict]] = {}
    for result in results:
        series.setdefault(str(result["version"]).partition(".")[0] + ".x", []).append(result)
    lines = ["| WanGP | from | to | commits | whole | do not parse | else |"]
    lines.append("| --- | --- | --- | ---: | ---: | ---: | ---: |")
    for name, of_series in [*series.items(), ("all", results)]:
        count = Counter(r["result"] for r in of_series)
        whole, broken = count.pop(WHOLE, 0), count.pop(NO_PYTHON, 0)
        lines.append(
            f"| {name} | {of_series[0]['date']} | {of_series[-1]['date']} | {len(of_series)} |"
            f" {whole} | {broken} | {sum(count.values())} |"
        )
    return "\n".join(lines)


def git(root: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, check=True)
    return done.stdout.decode("utf-8")


if __name__ == "__main__":
    raise SystemExit(main())
