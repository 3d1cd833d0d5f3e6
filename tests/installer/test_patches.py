"""What `patches/` may hold: only lines of ours, each block marked, one version for all."""

import ast
import re
from pathlib import Path

import pytest

from wan2gp_svi.errors import UserError
from wan2gp_svi.installer import hooks, patchfile

PATCHES = Path(__file__).parents[2] / "patches"
NAMES = (PATCHES / "series").read_text().split()
LEDGER = (PATCHES / "README.md").read_text("utf-8")
NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def test_the_series_names_every_patch():
    assert sorted(NAMES) == sorted(path.name for path in PATCHES.glob("*.patch"))


@pytest.mark.parametrize("name", NAMES)
def test_a_patch_only_inserts_and_its_counts_are_right(name):
    text = (PATCHES / name).read_bytes()
    assert text.isascii() and b"\r" not in text
    shift = 0
    for patch in patchfile.parse(text):
        for hunk in patch.hunks:
            assert {sign for sign, _ in hunk.body} == {b"+"}
            assert hunk.new_start == hunk.old_start + shift + 1
            shift += len(hunk.body)


def test_every_hook_stands_between_its_markers_and_calls_only_us():
    all_hooks = hooks.load(PATCHES)
    assert {hook.file.rpartition("/")[2] for hook in all_hooks} == {
        "wgp.py", "any2video.py", "wan_handler.py", "model.py",
    }  # fmt: skip
    for hook in all_hooks:
        first, last = hook.lines[0].encode(), hook.lines[-1].encode()
        assert first.startswith(hooks.OPENS) and last.startswith(hooks.CLOSES)
        body = ast.parse("\n".join(hook.lines)).body
        assert len(body) == 1 and isinstance(body[0], (ast.If, ast.Try))
        called = {
            ast.unparse(node.func) for node in ast.walk(body[0]) if isinstance(node, ast.Call)
        }
        assert all(
            name.startswith("_wan2gp_svi.") or name in ("globals", "print") for name in called
        )


def test_a_module_gets_its_name_for_the_package_before_any_function_of_it_runs():
    by_file: dict[str, list[str]] = {}
    for hook in hooks.load(PATCHES):
        by_file.setdefault(hook.file, []).append(hook.place.partition(":")[0])
    assert all("module" in places for places in by_file.values())


def test_the_package_knows_the_hooks_that_are_delivered_with_it():
    bridge = ast.parse((PATCHES.parent / "wan2gp_svi/wangp/__init__.py").read_text("utf-8"))
    numbers = [
        node.value.value
        for node in bridge.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "HOOKS"
        and isinstance(node.value, ast.Constant)
    ]  # fmt: skip
    assert numbers == [hooks.number(hooks.load(PATCHES))]


def test_every_function_that_a_hook_calls_exists():
    bridge = ast.parse((PATCHES.parent / "wan2gp_svi/wangp/__init__.py").read_text("utf-8"))
    there = {node.name for node in bridge.body if isinstance(node, ast.FunctionDef)}
    called = {
        node.attr
        for hook in hooks.load(PATCHES)
        for node in ast.walk(ast.parse("\n".join(hook.lines)))
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "_wan2gp_svi"
    }
    assert called and called <= there


def test_the_ledger_counts_what_the_patches_hold():
    all_hooks = hooks.load(PATCHES)
    patches, lines, places = len(NAMES), sum(len(h.lines) for h in all_hooks), len(all_hooks)
    said = f"{NUMBERS[patches]} patches, {lines} lines, {NUMBERS[places]} places."
    assert said.capitalize() in LEDGER
    assert f"## The {NUMBERS[places]} hooks" in LEDGER


def test_each_hook_of_the_ledger_is_the_one_in_the_patch():
    table = re.split(r"^## ", LEDGER.partition("\n| file |")[2], flags=re.M)[0]
    rows = [
        [cell.strip().replace(r"\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        for line in table.splitlines()
        if line.startswith("|") and "---" not in line
    ]
    assert {len(row) for row in rows} == {6}
    told = {(file, place, calls.strip("`")) for file, place, calls, *_ in rows}
    assert len(told) == len(rows)
    assert told == {
        (hook.file, hook.place, call) for hook in hooks.load(PATCHES) for call in calls_of(hook)
    }


def calls_of(hook: hooks.Hook) -> list[str]:
    """What a hook calls of ours, as the ledger writes it."""
    found = [
        ast.unparse(node)
        for node in ast.walk(ast.parse("\n".join(hook.lines)))
        if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("_wan2gp_svi.")
    ]
    return [call.removeprefix("_wan2gp_svi.") for call in found]


def test_damaged_patches_are_refused_in_words(tmp_path):
    with pytest.raises(UserError, match="patches of wan2gp-svi are damaged"):
        hooks.load(tmp_path)
    (tmp_path / "series").write_text("a.patch\n")
    (tmp_path / "a.patch").write_text("+++ b/f\n@@ -1,2 +1,3 @@ module: end\n a\n+b\n c\n")
    with pytest.raises(UserError, match="holds a line that it does not insert"):
        hooks.load(tmp_path)


def test_patches_with_crlf_say_the_same(tmp_path):
    """A Windows checkout may turn every text file."""
    for name in (*NAMES, "series"):
        data = (PATCHES / name).read_bytes().replace(b"\n", b"\r\n")
        (tmp_path / name).write_bytes(data)
    assert hooks.load(tmp_path) == hooks.load(PATCHES)
