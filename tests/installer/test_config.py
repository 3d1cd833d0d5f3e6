import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from installing import run, tree

from wan2gp_svi.installer.config import CONFIG, WAITING, disable, enable

names = st.lists(st.sampled_from(["wan2gp-sample", "a", "b-c", 'q"x']), max_size=3)
configs = st.fixed_dictionaries(
    {"save_path": st.text(), "list": st.lists(st.integers())}, optional={"enabled_plugins": names}
)


@given(configs, st.sampled_from([None, 2, 4, "\t"]))
def test_enabled_and_disabled_again_is_the_same_text(config, indent):
    text = json.dumps(config, indent=indent).encode() + b"\n"
    new = enable(text)
    wanted = {**config, "enabled_plugins": [*config.get("enabled_plugins", []), "wan2gp-svi"]}
    assert json.loads(new) == wanted
    assert enable(new) == new
    assert disable(new) == text
    assert disable(text) == text


@given(names, names)
def test_it_is_disabled_also_after_wangp_has_written_the_file_anew(before, after):
    listed = [*before, "wan2gp-svi", *after]
    text = json.dumps({"enabled_plugins": listed}, indent=4).encode()
    assert json.loads(disable(text)) == {"enabled_plugins": before + after}


def test_a_file_that_is_no_configuration_stays_as_it_is():
    for text in (b"", b"{", b"[]", b'{"enabled_plugins": 3}', b"\xff\xfe"):
        assert enable(text) == text == disable(text)


@pytest.mark.parametrize("started", [False, True])
def test_the_plugin_waits_for_the_first_start(wangp, started):
    """WanGP writes its configuration then; a part of one it could not read."""
    if started:
        (wangp / CONFIG).write_text("{}")
    before = tree(wangp)
    assert run("install", wangp) == 0
    assert (wangp / WAITING).is_file() is not started
    assert (wangp / CONFIG).exists() is started
    assert run("uninstall", wangp) == 0
    assert tree(wangp) == before
