"""Small models and clips that several tests share."""

import pytest


@pytest.fixture(scope="session")
def wan_folder(tmp_path_factory):
    """kind -> a folder with a small model of that kind, made once."""
    import small_wan  # it takes seconds, and most tests here do not need it

    made = {}

    def folder(kind):
        if kind not in made:
            made[kind] = small_wan.save(tmp_path_factory.mktemp("wan") / f"Wan-{kind}", kind)
        return made[kind]

    return folder


@pytest.fixture(scope="session")
def clip_folder(tmp_path_factory):
    """Two clips long enough for windows of 13 frames, and one that is not."""
    import small_wan

    lengths = {"long": 40, "short": 13, "two words": 20}
    return small_wan.clips(tmp_path_factory.mktemp("clips"), lengths)
