import json
import struct
import tracemalloc

import pytest
import safetensors
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from lora_formats import entry, raw, write
from safetensors.torch import save_file

from wan2gp_svi.errors import UserError
from wan2gp_svi.lora.convert import convert_file
from wan2gp_svi.tensor_file import MAX_HEADER, Refused, read_entries, read_header

A, B = "blocks.0.ffn.0.lora_A.weight", "blocks.0.ffn.0.lora_B.weight"
GOOD = {A: entry("F32", [1, 2], 0, 8), B: entry("F32", [2, 1], 8, 16)}
DATA = bytes(16)


def with_entry(**changes):
    return {A: GOOD[A] | changes, B: GOOD[B]}


def text(entries):
    return json.dumps(entries).encode()


BAD = {
    "overlap": with_entry(data_offsets=[8, 16]),
    "overlap by one": {A: entry("U8", [9], 0, 9), B: entry("U8", [8], 8, 16)},
    "hole": {A: entry("U8", [7], 0, 7), B: entry("U8", [8], 8, 16)},
    "negative": with_entry(data_offsets=[-8, 0]),
    "backwards": with_entry(data_offsets=[8, 0]),
    "huge": with_entry(data_offsets=[0, 1 << 62], shape=[1 << 60]),
    "beyond 64 bits": with_entry(data_offsets=[0, 1 << 70], shape=[1 << 68]),
    "a number of 21 digits": text(GOOD).replace(b"[0, 8]", b"[0, " + b"9" * 21 + b"]"),
    "a number of 5000 digits": text(GOOD).replace(b"[0, 8]", b"[0, " + b"9" * 5000 + b"]"),
    "past the end": {A: GOOD[A], B: entry("F32", [200, 1], 8, 808)},
    "bytes left over": {A: GOOD[A]},
    "twice": text(GOOD).replace(b"lora_B", b"lora_A"),
    "dtype twice": text(GOOD).replace(b'"dtype"', b'"dtype": "F16", "dtype"', 1),
    "not UTF-8": text(GOOD).replace(b"blocks", b"bl\xffcks", 1),
    "lone surrogate": text(GOOD).replace(b"blocks", b"\\ud800blocks", 1),
    "no JSON": b"{" + b"x" * 40 + b"}",
    "cut JSON": text(GOOD)[:-3],
    "a list": b"[1, 2, 3]",
    "nested": b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "NaN": text(GOOD).replace(b"[1, 2]", b"[1, NaN]"),
    "unknown type": with_entry(dtype="F31"),
    "type is no text": with_entry(dtype=["F32"]),
    "size mismatch": with_entry(shape=[1, 3]),
    "shape is no list": with_entry(shape=2),
    "fractional": with_entry(shape=[1.0, 2]),
    "true": with_entry(shape=[True, 2]),
    "negative shape": with_entry(shape=[-1, -2]),
    "many dimensions": with_entry(shape=[1] * 5000 + [2]),
    "three offsets": with_entry(data_offsets=[0, 8, 16]),
    "entry is null": {A: None, B: GOOD[B]},
    "entry lacks shape": {A: {"dtype": "F32", "data_offsets": [0, 8]}, B: GOOD[B]},
    "metadata is a list": GOOD | {"__metadata__": []},
    "metadata holds a number": GOOD | {"__metadata__": {"rank": 4}},
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_header_gives_a_sentence_and_no_file(tmp_path, case):
    path = raw(tmp_path / "bad.safetensors", BAD[case], DATA)
    with pytest.raises(UserError) as error:
        read_header(path)
    assert "bad.safetensors" in str(error.value) and len(str(error.value)) < 600
    with pytest.raises(UserError):
        convert_file(path, tmp_path / "out.safetensors")
    assert [p.name for p in tmp_path.iterdir()] == ["bad.safetensors"]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "no safetensors"),
        (b"1234567", "no safetensors"),
        (struct.pack("<Q", 1 << 63), "no safetensors"),
        (struct.pack("<Q", MAX_HEADER + 1) + bytes(99), "no safetensors"),
        (struct.pack("<Q", 5000) + b"{}", "cut short"),
        (struct.pack("<Q", 0) + b"{}", "no safetensors"),
        (b"PK\x03\x04" + bytes(99), "pickle"),
        (b"\x80\x02}q\x00." + bytes(99), "pickle"),
        (b"<!DOCTYPE html>" + bytes(99), "web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "LFS"),
        (b'{"error": "not found"}', "JSON"),
    ],
)
def test_a_file_that_is_something_else_is_named(tmp_path, data, says):
    path = tmp_path / "x.safetensors"
    path.write_bytes(data)
    with pytest.raises(UserError, match=says):
        read_header(path)


@pytest.mark.parametrize("suffix", [".pt", ".ckpt", ".bin", ".PTH"])
def test_pickles_are_not_opened(tmp_path, suffix):
    with pytest.raises(UserError, match="can run any code"):
        read_header(tmp_path / f"lora{suffix}")  # it does not even exist


def test_a_cut_header_is_cut_whatever_its_length_begins_with(tmp_path):
    """The header's length comes first in a file, and may have the bytes of a pickle or a page."""
    for length in (0x180, 0x23C):
        path = tmp_path / "x.safetensors"
        path.write_bytes(struct.pack("<Q", length) + text(GOOD)[:50])
        with pytest.raises(UserError, match="cut short: not even its header"):
            read_header(path)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"1234567", "stub"),
        (struct.pack("<Q", 101) + b"{" + b" " * 99 + b"}", "other"),
        (struct.pack("<Q", 100) + b"{" + b" " * 98, "cut"),
        (struct.pack("<Q", 100) + b"{" + b" " * 99, "damaged"),
        (struct.pack("<Q", 100) + b" " * 98 + b"{}", "other"),
    ],
)
def test_a_reader_with_a_limit_of_its_own_learns_what_is_wrong(tmp_path, data, kind):
    path = tmp_path / "x"
    path.write_bytes(data)
    with path.open("rb") as file, pytest.raises(Refused) as error:
        read_entries(file, len(data), 100)
    assert error.value.kind == kind


def test_a_file_that_shrinks_while_it_is_read_is_cut(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(struct.pack("<Q", 100) + b"{")
    with path.open("rb") as file, pytest.raises(Refused) as error:
        read_entries(file, 1000)
    assert error.value.kind == "cut"


def test_missing_files_and_folders(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        read_header(tmp_path / "x.safetensors")
    with pytest.raises(UserError, match="is no file"):
        read_header(tmp_path)


def test_a_cut_download_says_how_much_is_missing(tmp_path):
    path = tmp_path / "x.safetensors"
    write("comfy", path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match=r"cut short: 100 of its \d+ bytes"):
        read_header(path)


def test_it_reads_what_safetensors_writes(tmp_path):
    path = tmp_path / "x.safetensors"
    tensors = {
        "a": torch.zeros(2, 3, dtype=torch.bfloat16),
        "b": torch.ones(4, dtype=torch.float64),
        "empty": torch.zeros(0, 7),
        "c.alpha": torch.tensor(0.1, dtype=torch.bfloat16),
        "d.alpha": torch.tensor([7], dtype=torch.int64),
        "e.alpha": torch.tensor(2.5, dtype=torch.float16),
    }
    save_file(tensors, path, metadata={"title": "é"})
    header = read_header(path)
    assert header.shapes == {name: tuple(t.shape) for name, t in tensors.items()}
    assert header.metadata == {"title": "é"} and header.in_order
    alphas = {name: float(t) for name, t in tensors.items() if "alpha" in name}
    assert header.numbers(".alpha") == alphas


def test_another_order_of_the_header_is_noticed(tmp_path):
    path = raw(tmp_path / "x.safetensors", {B: GOOD[B], A: GOOD[A]}, DATA)
    assert not read_header(path).in_order
    assert list(read_header(path).tensors) == [A, B]


def test_memory_is_not_taken_on_the_headers_word(tmp_path):
    path = tmp_path / "x.safetensors"
    path.write_bytes(struct.pack("<Q", MAX_HEADER) + b"{}")
    huge = raw(tmp_path / "y.safetensors", with_entry(data_offsets=[0, 1 << 62], shape=[1 << 60]))
    tracemalloc.start()
    for file in (path, huge):
        with pytest.raises(UserError):
            read_header(file)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000


VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
JSON = st.recursive(
    VALUES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
OFFSET = st.integers(-4, 20) | st.integers()
ENTRY = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from(["F32", "F16", "BF16", "U8", "F8_E4M3", "X"]) | JSON,
        "shape": st.lists(st.integers(-1, 8), max_size=3) | JSON,
        "data_offsets": st.lists(OFFSET, min_size=2, max_size=2) | JSON,
    }
)
HEADER = st.dictionaries(st.sampled_from([A, B, "__metadata__", ""]), ENTRY | JSON)
FUZZ = settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def judge(path, out):
    """Either a sentence and no file, or a file that the reference reader reads as well."""
    try:
        read_header(path)
    except UserError:
        pass
    else:
        with safetensors.safe_open(path, "pt") as reference:
            list(reference.keys())
    try:
        convert_file(path, out)
    except UserError:
        assert not out.exists()
    else:
        out.unlink()
    assert [p.name for p in path.parent.iterdir()] == [path.name]


@FUZZ
@given(HEADER, st.binary(max_size=24))
@example(GOOD, DATA)
def test_fuzzed_headers(tmp_path, header, data):
    judge(raw(tmp_path / "x.safetensors", header, data), tmp_path / "out.safetensors")


@FUZZ
@given(st.lists(st.tuples(st.integers(0, 250), st.integers(0, 255)), max_size=4), st.integers(0, 9))
def test_fuzzed_bytes(tmp_path, changes, cut):
    good = raw(tmp_path / "x.safetensors", GOOD, DATA).read_bytes()
    bad = bytearray(good[: len(good) - cut])
    for place, value in changes:
        bad[place % len(bad)] = value
    (tmp_path / "x.safetensors").write_bytes(bad)
    judge(tmp_path / "x.safetensors", tmp_path / "out.safetensors")
