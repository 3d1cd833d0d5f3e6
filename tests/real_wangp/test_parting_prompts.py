"""A text is cut into prompts as the page of the real WanGP cuts it."""

from __future__ import annotations

import importlib.util
import random

import pytest

from wan2gp_svi.installer import find
from wan2gp_svi.svi.prompts import split

PIECES = ["a cat", " it (at 1 s: sits) ", "\t", "# a remark", "  #x", "", " ", "b # c", "\xa0d"]


@pytest.fixture(scope="module")
def parser(wangp_dir):
    """Its shared/utils/prompt_parser.py, which needs nothing of the rest."""
    path = wangp_dir / "shared" / "utils" / "prompt_parser.py"
    spec = importlib.util.spec_from_file_location("wangps_prompt_parser", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("mode", ["W", "PW"])
def test_the_same_prompts(parser, mode):
    paragraphs = mode == "PW"
    chance = random.Random(5)
    for _ in range(500):
        ends = [chance.choice(["\n", "\n", "\r\n"]) for _ in range(chance.randrange(12))]
        text = "".join(chance.choice(PIECES) + end for end in ends)
        assert split(text, paragraphs) == as_its_page_does(parser, text, mode)


def as_its_page_does(parser, text, mode):
    if not hasattr(parser, "split_prompt_units"):  # before 11.20: lines, in wgp.py itself
        if mode == "PW":
            pytest.skip("this WanGP knows lines only")
        filled, wrong = parser.process_template(text)
        assert not wrong
        return [line.strip() for line in filled.replace("\r", "").split("\n") if line.strip()]
    filled, wrong = parser.process_template(text, keep_empty_lines=mode == "PW")
    assert not wrong
    return parser.split_prompt_units(filled.strip("\n").strip(), mode)


def test_what_the_page_takes_for_a_prompt_is_known(parser, wangp_dir):
    default = str(getattr(parser, "DEFAULT_MULTI_PROMPTS_MODE", ""))
    if (wangp_dir / "wgp_config.json").exists():
        pytest.skip("this WanGP has been configured")
    assert find.paragraphs(wangp_dir) == default.startswith("P")
