"""The small host is an application of its own: its folder comes first on the path, as for it."""

import sys
from pathlib import Path

import pytest

HOST = Path(__file__).parents[2] / "wan2gp_svi" / "demo" / "host"
sys.path[:0] = [str(HOST), str(Path(__file__).parent)]


@pytest.fixture
def photo():
    """The bundled photo at 128 x 128, (3, 128, 128), -1 to 1."""
    from shared.media import convert_image_to_tensor, fit, open_image

    return convert_image_to_tensor(fit(open_image(HOST.parent / "assets/astronaut.jpg"), 128, 128))
