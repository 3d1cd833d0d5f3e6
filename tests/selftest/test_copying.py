"""The copy that is run has WanGP's code and ours, and nothing of the user's."""

from wan2gp_svi.selftest import copying


def write(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)


CODE = [
    *("wgp.py", "models/wan/any2video.py", "defaults/i2v.json", "shared/settings/x.py"),
    *("wan2gp_svi/wangp/__init__.py", "profiles/svi_2_pro/a.json", "models/_settings.json"),
]
USERS = [
    *("wgp_config.json", "queue.zip", "settings/i2v_settings.json", "t2v_settings.json"),
    *("loras/wan/mine.json", "loras_i2v/x.txt", "outputs/a.txt", "ckpts/config.json"),
    *("finetunes/mine.json", "venv/pyvenv.cfg", "venv/lib/a.py", "other/pyvenv.cfg"),
    *("wan2gp-svi/.git/HEAD", "wan2gp-svi/README.md", ".git/HEAD", ".wan2gp_svi/manifest.json"),
    *("models/x.safetensors", "me.mp4", "resolutions.json"),
]


def test_code_is_copied_and_what_is_the_users_is_not(tmp_path):
    root, target = tmp_path / "WanGP", tmp_path / "copy"
    write(root, *CODE, *USERS, copying._OURS)
    (root / "models/big.py").write_bytes(bytes(copying.LARGEST + 1))
    copying.copy(root, target)
    copied = {p.relative_to(target).as_posix() for p in target.rglob("*") if p.is_file()}
    assert copied == {*CODE, copying._OURS}
    assert all((target / name).read_text() == name for name in copied)


def test_a_wangp_that_never_had_our_finetune_is_copied_too(tmp_path):
    write(tmp_path / "WanGP", "wgp.py")
    copying.copy(tmp_path / "WanGP", tmp_path / "copy")
    assert (tmp_path / "copy" / "finetunes").is_dir()
