"""What the papers of the project say is so: versions, files that they name, what CI runs."""

import re
from pathlib import Path

import pytest

import wan2gp_svi

ROOT = Path(__file__).parents[1]
PAPERS = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("patches/*.md")]


def read(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


@pytest.mark.parametrize("tool", ["ruff", "mypy"])
def test_pre_commit_has_the_versions_of_the_constraints(tool):
    pinned = set(re.findall(rf"^{tool}==(\S+)$", read("constraints/test.txt"), re.M))
    assert len(pinned) == 1
    assert set(re.findall(rf'"{tool}==(\S+)"', read(".pre-commit-config.yaml"))) == pinned
    assert f'"{tool}"' not in read(".pre-commit-config.yaml")  # nowhere without a version


def test_the_newest_version_of_the_changelog_is_the_packages():
    versions = re.findall(r"^## (\S+)", read("CHANGELOG.md"), re.M)
    assert versions[0] == "Unreleased"
    project = re.search(r'^version = "(.+)"$', read("pyproject.toml"), re.M)
    assert project is not None
    assert versions[1] == wan2gp_svi.__version__ == project[1]


@pytest.mark.parametrize("paper", PAPERS, ids=lambda path: path.name)
def test_links_lead_somewhere(paper):
    links = re.findall(r"\]\((?!https?:)([^)#\s]+)", paper.read_text("utf-8"))
    assert [link for link in links if not (paper.parent / link).exists()] == []


@pytest.mark.parametrize("paper", ["CONTRIBUTING.md", "docs/design.md", "README.md"])
def test_files_that_are_named_exist(paper):
    """By their path, or by their name where the text around says the folder."""
    files = [path.as_posix() for path in ROOT.rglob("*") if ".venv" not in path.as_posix()]
    named = set(re.findall(r"[\w./-]*\w\.(?:py|sh|bat|toml|yml)\b", read(paper)))
    assert named
    assert [name for name in named if not any(file.endswith(f"/{name}") for file in files)] == []


def test_pull_requests_run_what_ci_runs_and_the_night_runs_what_is_slow():
    assert re.search(r"run: bash \.ci/run$", read(".github/workflows/pull-request.yml"), re.M)
    assert "bash tests/run.sh" in read(".ci/run")
    nightly = read(".github/workflows/wangp.yml")
    assert "run: bash tests/run.sh -m slow" in nightly
    for test in re.findall(r"tests/\S+\.py", nightly):
        assert (ROOT / test).is_file(), test
