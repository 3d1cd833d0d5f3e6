import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wan2gp_svi.installer import patchfile
from wan2gp_svi.installer.patchfile import Insertion, PatchError

endings = st.sampled_from([b"\n", b"\r\n"])
texts = st.sampled_from(
    [b"", b"a", b"    b", b"+c", b"-d", b"@@ -1,2 +1,2 @@", b"\xef\xbb\xbfe", b"\\ f"]
)


@st.composite
def files_with_insertions(draw) -> tuple[bytes, list[Insertion]]:
    lines = draw(st.lists(st.tuples(texts, endings).map(b"".join), max_size=40))
    if lines and draw(st.booleans()):
        lines[-1] = lines[-1].rstrip(b"\r\n") or b"x"
    places = draw(st.sets(st.integers(0, len(lines)), min_size=1, max_size=4))
    if lines and not lines[-1].endswith(b"\n"):  # the end and the line before it touch
        places -= {len(lines) - 1} if len(lines) in places else set()
    ending = draw(endings)
    new = st.lists(texts.map(lambda text: text + ending), max_size=3)
    closed = new.map(lambda block: (*block, b"# closes" + ending))  # a block ends in a marker
    return b"".join(lines), [Insertion(at, draw(closed), f"place {at}") for at in sorted(places)]


@given(files_with_insertions())
def test_the_written_patch_applies_and_comes_out_again(case):
    source, insertions = case
    patch = patchfile.parse(patchfile.write("dir/file.py", source, insertions))
    new = patchfile.insert(source, insertions)
    assert [p.path for p in patch] == ["dir/file.py"]
    assert patchfile.apply(source, patch[0]) == new
    assert patchfile.apply(new, patch[0], reverse=True) == source
    added = sum(len(line) for insertion in insertions for line in insertion.lines)
    # no line is lost, none of ours missing; only a missing final newline moves
    assert len(new) == len(source) + added


def test_git_reads_the_same_patch(tmp_path):
    source = b"".join(b"line %d\r\n" % n for n in range(30)) + b"the end"
    insertions = [Insertion(at, (b"new %d\r\n" % at,), f"place {at}") for at in (0, 4, 8, 20, 31)]
    (tmp_path / "f.py").write_bytes(source)
    (tmp_path / "p.patch").write_bytes(patchfile.write("f.py", source, insertions))
    git = ["git", "-c", "core.autocrlf=false", "apply", "p.patch"]
    subprocess.run(git, cwd=tmp_path, check=True, capture_output=True)
    assert (tmp_path / "f.py").read_bytes() == patchfile.insert(source, insertions)
    subprocess.run([*git, "-R"], cwd=tmp_path, check=True, capture_output=True)
    assert (tmp_path / "f.py").read_bytes() == source


def test_a_patch_does_not_go_into_another_file():
    source = b"a\nb\nc\nd\n"
    patch = patchfile.parse(patchfile.write("f.py", source, [Insertion(2, (b"x\n",), "p")]))[0]
    with pytest.raises(PatchError, match=r"f\.py does not hold"):
        patchfile.apply(b"a\nB\nc\nd\n", patch)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", "names no file"),
        (b"@@ -1 +1 @@\n-a\n+b\n", "before it names a file"),
        (b"--- a/f\n+++ b/f\n@@ -1,2 +1,3 @@\n a\n+b\n", "cut short"),
    ],
)
def test_a_broken_patch_is_refused_in_words(text, words):
    with pytest.raises(PatchError, match=words):
        patchfile.parse(text)


def test_lines_that_end_in_cr_alone_are_refused():
    with pytest.raises(PatchError, match="CR alone"):
        patchfile.write("f.py", b"a\rb\r", [Insertion(1, (b"x\n",), "p")])
