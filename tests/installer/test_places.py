import ast

import pytest

from wan2gp_svi.installer.places import PlaceError, resolve

SOURCE = b"""import os

def loop(n):
    for k in range(n):
        step = 0
        if k:
            step += 1  # with a comment
            def inner():
                step += 7
    other_step = 1
    other_step += 1
    conf = make("a", n)
    conf = make("b", n)
    both = 1; twice = call.it(x=1)
    if n: one_line = 2
    spread = make(
        "c",
    )

class Box:
    def fill(self, kw):
        if kw.get("wide"):
            kw.update({"y": 1})
            kw.update({"z": 1})
            kw.update({"y": 2})
        else:
            kw.update({"y": 3})

if __name__ == "__main__":
    loop(3)
"""


def spot(place: str, source: bytes = SOURCE):
    return resolve(source, ast.parse(source), place)


@pytest.mark.parametrize(
    ("place", "line", "indent"),
    [
        ("module: end", 30, ""),
        ("module: before the if testing '__main__'", 28, ""),
        ("module: before the if testing __name__", 28, ""),
        ("loop: after the step step +=", 7, " " * 12),
        ("loop|lap: before the step step +=", 6, " " * 12),
        ("loop: after the assignment of conf from make with 'b'", 13, "    "),
        ("loop: after the last assignment of conf", 13, "    "),
        ("loop: after the assignment of spread", 18, "    "),
        ("loop: before the assignment of spread", 15, "    "),
        ("Box.fill: in the if testing 'wide': after the call kw.update with 'z'", 24, " " * 12),
        ("Box.fill: after the last call kw.update with 'y'", 27, " " * 12),
    ],
)
def test_a_place_resolves_to_its_line_and_indentation(place, line, indent):
    found = spot(place)
    assert (found.line, found.indent) == (line, indent)


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("loop: after the step stride +=", "is no step stride"),
        ("lap: after the step step +=", "is no function lap"),
        ("loop: after the assignment of conf", "are 2 of: assignment of conf"),
        ("loop: after the assignment of twice", "shares its line"),
        ("loop: after the assignment of both", "shares its line"),
        ("loop: after the assignment of one_line", "shares its line"),
        ("Box.fill: in the if testing 'tall': after the call kw.update", "is no if testing 'tall'"),
        ("Box.fill: in the if testing 'wide': after the call kw.update with 'y'", "are 3 of"),
        ("loop: behind the step step +=", "is not written as"),
        ("loop: end", "only a module has an end"),
    ],
)
def test_what_does_not_resolve_exactly_once_is_refused_in_words(place, words):
    with pytest.raises(PlaceError, match=words):
        spot(place)


def test_two_functions_of_one_name_are_refused():
    source = b"def f():\n    a = 1\n\ndef f():\n    a = 1\n"
    with pytest.raises(PlaceError, match="are 2 of: function f"):
        spot("f: after the assignment of a", source)


def test_line_endings_tabs_and_a_byte_order_mark_change_nothing():
    crlf = SOURCE.replace(b"\n", b"\r\n")
    assert spot("loop: after the step step +=", crlf).line == 7
    tabs = b"\xef\xbb\xbf" + SOURCE.replace(b"    ", b"\t")
    found = spot("loop: after the step step +=", tabs)
    assert (found.line, found.indent) == (7, "\t\t\t")
    first = b"\xef\xbb\xbfa = 1\nb = 2\n"
    assert spot("module: after the assignment of a", first).line == 1


def test_text_in_strings_is_not_code_and_odd_line_breaks_do_not_count():
    source = b's = """\nstep += 1\n\x0c\xe2\x80\xa8"""\nstep = 0\nstep += 1\n'
    assert spot("module: after the step step +=", source).line == 5


def test_the_names_that_code_at_a_place_can_see():
    assert {"n", "k", "conf"} <= spot("loop: after the step step +=").names
