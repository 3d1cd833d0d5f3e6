"""Where a hook goes, said in words and found in the user's own file.

A place is the section heading of a hunk in `patches/`; `patches/README.md` explains the words:

    module: end
    module: before the if testing '__main__'
    generate_video|generate_media: after the step window_no +=
    WanAny2V.generate: in the if testing 'i2v_class': after the last call kwargs.update with 'y'

It is resolved on the syntax tree of the file, so neither line numbers nor spelling matter, and it
must resolve exactly once.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

_BOM = b"\xef\xbb\xbf"
_NAME = r"[A-Za-z_]\w*"
_DOTTED = rf"{_NAME}(?:\.{_NAME})*"
_STATEMENT = re.compile(
    rf"the (?P<last>last )?(?:"
    rf"(?P<if>if testing) (?P<tested>{_NAME}|'[^']*')"
    rf"|(?P<call>call) (?P<called>{_DOTTED})(?: with (?P<argument>'[^']*'))?"
    rf"|(?P<assignment>assignment of) (?P<target>{_NAME})"
    rf"(?: from (?P<source>{_DOTTED})(?: with (?P<source_argument>'[^']*'))?)?"
    rf"|(?P<step>step) (?P<counter>{_NAME}) \+="
    rf")"
)
_PLACE = re.compile(
    rf"(?P<scope>module|{_DOTTED}(?:\|{_DOTTED})*): "
    rf"(?:in (?P<inside>{_STATEMENT.pattern.replace('?P<', '?P<in_')}): )?"
    rf"(?:(?P<end>end)|(?P<side>before|after) (?P<statement>{_STATEMENT.pattern}))"
)


class PlaceError(ValueError):
    """A place that is badly written, or that does not resolve exactly once; says which and why."""


@dataclass(frozen=True)
class Spot:
    """What a place resolves to: insert after `line` (1-based; 0: at the top), so indented."""

    line: int
    indent: str
    names: frozenset[str]  # the names that are bound in that function; none for the module


def resolve(source: bytes, tree: ast.Module, place: str) -> Spot:
    """The spot that `place` names in the file with this source and tree.

    Raises PlaceError when the place matches no statement, or more than one.
    """
    words = _PLACE.fullmatch(place)
    if words is None:
        raise PlaceError(f"the place '{place}' is not written as patches/README.md says")
    lines = split_lines(source)
    scopes = [tree] if words["scope"] == "module" else list(_scopes(tree, words["scope"]))
    if len(scopes) != 1:
        raise PlaceError(f"there {_count(len(scopes), 'function')} {words['scope']}")
    scope = scopes[0]
    if words["end"]:
        if words["scope"] != "module":
            raise PlaceError(f"the place '{place}': only a module has an end")
        return Spot(len(lines), "", frozenset())

    bodies: list[ast.AST] = [scope]
    if words["inside"]:
        bodies = _matches([scope], words["inside"])
        if len(bodies) != 1:
            raise PlaceError(f"in {words['scope']} there {_count(len(bodies), words['inside'])}")
    found = _matches(bodies, words["statement"])
    if len(found) != 1:
        raise PlaceError(f"in {words['scope']} there {_count(len(found), words['statement'])}")
    statement = found[0]
    assert isinstance(statement, ast.stmt)  # _matches yields statements only
    first, last = statement.lineno, statement.end_lineno or statement.lineno
    before = lines[first - 1][: _column(lines, first, statement.col_offset)]
    after = lines[last - 1][_column(lines, last, statement.end_col_offset or 0) :].strip()
    indent = before.removeprefix(_BOM)
    if indent.strip(b" \t") or (after and not after.startswith(b"#")):
        raise PlaceError(f"in {words['scope']}, {words['statement']} shares its line with others")
    line = first - 1 if words["side"] == "before" else last
    return Spot(line, indent.decode("ascii"), frozenset(() if scope is tree else _bound(scope)))


def split_lines(source: bytes) -> list[bytes]:
    """The lines as Python numbers them, each with its own ending (LF, CRLF or CR)."""
    return source.splitlines(keepends=True)


def find_function(tree: ast.Module, dotted: str) -> list[ast.AST]:
    """Every function or class with this dotted name, counted from the module's top."""
    nodes: list[ast.AST] = [tree]
    for name in dotted.split("."):
        nodes = [
            child
            for node in nodes
            for child in _statements(node)
            if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
            and child.name == name
        ]
    return nodes


def _scopes(tree: ast.Module, names: str) -> Iterator[ast.AST]:
    for dotted in names.split("|"):
        yield from find_function(tree, dotted)


def _statements(node: ast.AST) -> Iterator[ast.stmt]:
    """Every statement below `node` in the file's order, without entering functions or classes."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.stmt):
            yield child
            if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                continue
        if isinstance(child, (ast.stmt, ast.ExceptHandler, ast.match_case)):
            yield from _statements(child)


def _matches(bodies: list[ast.AST], wanted: str) -> list[ast.AST]:
    words = _STATEMENT.fullmatch(wanted)
    assert words is not None  # _PLACE has matched it
    found: list[ast.AST] = [
        statement for body in bodies for statement in _statements(body) if _is(statement, words)
    ]
    return found[-1:] if words["last"] else found


def _is(statement: ast.stmt, words: re.Match[str]) -> bool:
    if words["if"]:
        return isinstance(statement, ast.If) and _mentions(statement.test, words["tested"])
    if words["call"]:
        return isinstance(statement, ast.Expr) and _is_call(
            statement.value, words["called"], words["argument"]
        )
    if words["step"]:
        return isinstance(statement, ast.AugAssign) and (
            isinstance(statement.op, ast.Add) and _dotted(statement.target) == words["counter"]
        )
    if not isinstance(statement, ast.Assign):
        return False
    if not any(_dotted(target) == words["target"] for target in statement.targets):
        return False
    source, argument = words["source"], words["source_argument"]
    return source is None or _is_call(statement.value, source, argument)


def _is_call(value: ast.expr, dotted: str, argument: str | None) -> bool:
    """Whether it is a call of this name, with this text as an argument or as a key in one."""
    if not (isinstance(value, ast.Call) and _dotted(value.func) == dotted):
        return False
    if argument is None:
        return True
    texts: list[object] = [keyword.arg for keyword in value.keywords]
    for given in value.args:
        parts = given.keys if isinstance(given, ast.Dict) else [given]
        texts += [part.value for part in parts if isinstance(part, ast.Constant)]
    return argument.strip("'") in texts


def _mentions(test: ast.expr, word: str) -> bool:
    if word.startswith("'"):
        text = word.strip("'")
        return any(isinstance(n, ast.Constant) and n.value == text for n in ast.walk(test))
    return any(isinstance(n, ast.Name) and n.id == word for n in ast.walk(test))


def _dotted(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else "?"


def _bound(scope: ast.AST) -> Iterator[str]:
    """Every name that this function binds: its arguments, and what it assigns to."""
    nodes = list(ast.iter_child_nodes(scope))
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)):
            nodes.extend(ast.iter_child_nodes(node))


def _column(lines: list[bytes], line: int, offset: int) -> int:
    """The byte in the file's line for ast's offset, which does not count a byte order mark."""
    return offset + (len(_BOM) if line == 1 and lines[0].startswith(_BOM) else 0)


def _count(number: int, what: str) -> str:
    what = what.removeprefix("the ")
    return f"is no {what}" if number == 0 else f"are {number} of: {what}"
