"""A growing film and a finished one, played and searched by Chromium."""

from __future__ import annotations

import contextlib
import http.server
import json
import queue
import re
import shutil
import subprocess
import tempfile
import threading
from pathlib import Path

import pytest
from films import RATE, film, ready

from wan2gp_svi.video.encode import encoder
from wan2gp_svi.video.writer import Writer

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("chromium") is None, reason="needs Chromium"),
]
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--mute-audio",
    "--autoplay-policy=no-user-gesture-required",
]

# Plays two seconds, then jumps to each time given and reads the brightness of what is shown there.
PAGE = """<video id=v muted src=film></video><script>
const v = document.getElementById('v'), times = TIMES, seen = [];
const tell = (what) => fetch('said', {method: 'POST', body: JSON.stringify(what)});
const once = (name) => new Promise((done) => v.addEventListener(name, done, {once: true}));
const brightness = () => {
  const canvas = document.createElement('canvas');
  canvas.width = v.videoWidth; canvas.height = v.videoHeight;
  const pen = canvas.getContext('2d');
  pen.drawImage(v, 0, 0);
  const data = pen.getImageData(0, 0, canvas.width, canvas.height).data;
  return data.reduce((sum, x, i) => i % 4 == 3 ? sum : sum + x, 0) / (data.length * 3 / 4);
};
v.addEventListener('error', () => tell({error: v.error.message}));
(async () => {
  await once('canplay');
  await v.play();
  await new Promise((done) => setTimeout(done, 2000));
  v.pause();
  const played = v.currentTime;
  for (const time of times) {
    const sought = once('seeked');
    v.currentTime = time;
    await sought;
    seen.push(brightness());
  }
  tell({played, seen, duration: v.duration});
})();
</script>"""


def look(path: Path, times: list[float]) -> dict:
    """What Chromium says of the film: how far it played, and the brightness at `times`."""
    said: queue.Queue[dict] = queue.Queue()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path != "/film":
                self.answer(200, PAGE.replace("TIMES", json.dumps(times)).encode(), "text/html")
                return
            size = path.stat().st_size
            asked = re.match(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
            start = int(asked[1]) if asked else 0
            stop = int(asked[2]) + 1 if asked and asked[2] else size
            with path.open("rb") as file:
                file.seek(start)
                data = file.read(stop - start)
            self.answer(206, data, "video/mp4", f"bytes {start}-{start + len(data) - 1}/{size}")

        def do_POST(self) -> None:
            said.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.answer(200, b"", "text/plain")

        def answer(self, code: int, data: bytes, kind: str, part: str | None = None) -> None:
            self.send_response(code)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
            self.send_header("Accept-Ranges", "bytes")
            if part is not None:
                self.send_header("Content-Range", part)
            self.end_headers()
            # The browser hangs up when it has what it wanted.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
            address = f"http://127.0.0.1:{server.server_address[1]}/"
            browser = subprocess.Popen(
                [
                    "chromium",
                    *FLAGS,
                    f"--user-data-dir={profile}",
                    "--remote-debugging-port=0",
                    address,
                ],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            try:
                return said.get(timeout=120)
            finally:
                browser.kill()
                browser.wait()
                server.shutdown()


@pytest.mark.parametrize("windows", [3, 300])
@pytest.mark.parametrize("finished", [False, True])
def test_chromium_plays_the_film_and_finds_every_window(
    tmp_path: Path, windows: int, finished: bool
) -> None:
    """Windows are of ten brightnesses in turn; each is looked for by its time."""
    parts = [tmp_path / f"part{i}.mp4" for i in range(10)]
    for i, part in enumerate(parts):
        encoder("libx264_8", RATE)(film(16) // 4 + 18 * i, part)
    writer, shown = Writer(tmp_path, ".mp4", RATE, lambda f, p: ready(parts[f[0]])(f, p)), None
    for number in range(windows):
        writer.add([number % 10] * 16)  # type: ignore[arg-type]
    shown = tmp_path / "shown.mp4"
    (writer.finish if finished else writer.show)(shown)
    wanted = sorted({0, 1, windows // 2, windows - 2, windows - 1})
    said = look(shown, [number + 0.5 for number in wanted])
    assert "error" not in said, said
    assert said["played"] > 1
    assert abs(said["duration"] - windows) < 0.2
    own = [18 * (number % 10) for number in wanted]
    base = said["seen"][0]
    assert [round((seen - base) / 18) for seen in said["seen"]] == [x // 18 for x in own], said
