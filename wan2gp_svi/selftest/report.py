"""What the self-test says: the table, and the file to attach to a report.

The file has versions and findings, and nothing of the user's: no path, no prompt, no setting.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from wan2gp_svi.selftest.checks import CANNOT_SAY, FAIL, PASS, Finding, Passes

_PATH = re.compile(r"""[A-Za-z]:[\\/][^\s"'<>|]*|(?<![\w.])~?/(?:[^\s"'/:]+/)*[^\s"'/:]+""")
_FRAME = re.compile(r'^\s*File "(?:.*[\\/])?([^"\\/]+)", line (\d+), in (.+)$')
_RAISED = re.compile(r"^(?:[\w.]+(?:Error|Exception|Interrupt|Exit))(?::.*)?$")
TRACE_LINES = 60


def table(findings: list[Finding]) -> list[str]:
    """A line for each finding, and one below where there is more to say than that it is right."""
    lines = []
    for finding in findings:
        lines.append(f"{finding.verdict:<10}  {finding.title}")
        if finding.why and finding.verdict != PASS:
            lines.append(f"{'':<10}  -> {finding.why}")
    return lines


def verdict(findings: list[Finding]) -> tuple[bool, str]:
    """Whether the whole test has passed, and the sentence at its end."""
    failed = sum(finding.verdict == FAIL for finding in findings)
    undecided = sum(finding.verdict == CANNOT_SAY for finding in findings)
    passed = sum(finding.verdict == PASS for finding in findings)
    if failed:
        return False, f"FAIL: {failed} of {len(findings)} are not as they must be."
    if not passed:
        return False, "FAIL: nothing could be decided."
    if undecided:
        return True, f"PASS: {passed} are right, {undecided} cannot be decided here."
    return True, f"PASS: all {passed} are right."


def document(
    findings: list[Finding], passes: Passes, commit: str | None, hidden: list[str]
) -> dict[str, Any]:
    """The report as JSON. `hidden`: texts that must not be in it, such as WanGP's folder."""
    named = {"svi": passes.svi, "plain": passes.plain, "half": passes.half, "again": passes.again}
    return {
        "format": 1,
        "findings": [
            {
                "key": finding.key,
                "title": finding.title,
                "verdict": finding.verdict,
                "why": without_paths(finding.why, hidden),
            }
            for finding in findings
        ],
        "wangp_commit": commit,
        "passes": {
            name: {
                "host": facts.host,
                "hooks": facts.hooks,
                "made": {
                    scenario: {
                        "ok": made.ok,
                        "error": without_paths(made.error, hidden),
                        "windows": made.windows,
                        "frames": made.frames,
                    }
                    for scenario, made in facts.made.items()
                },
            }
            for name, facts in named.items()
            if facts is not None
        },
    }


def without_paths(text: str, hidden: list[str]) -> str:
    """`text` with every path in it replaced."""
    for part in sorted(filter(None, hidden), key=len, reverse=True):
        text = text.replace(part, "<path>")
    return _PATH.sub("<path>", text)


def traces(console: Path, hidden: list[str]) -> list[str]:
    """The last tracebacks in a pass's console: file names without folders, lines, what was raised.

    No line of code or of output is taken over, since it might hold something of the user's.
    """
    try:
        lines = console.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        frame = _FRAME.match(line)
        if frame:
            found.append(f"{frame[1]}:{frame[2]} {frame[3]}")
        elif _RAISED.match(line):
            found.append(without_paths(line, hidden))
    return found[-TRACE_LINES:]
