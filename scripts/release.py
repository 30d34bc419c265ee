"""`make release VERSION=1.2.3`: turn what CHANGELOG.md lists under Unreleased into a version.

Checks first, then tests, then changes files, builds the wheel, commits and tags. Nothing is pushed.
"""

import re
import shutil
import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parent.parent
CHANGELOG = ROOT / "CHANGELOG.md"
VERSION_FILE = ROOT / "app" / "__init__.py"
#: What a wheel is built from, and no more: no file of an earlier build can get into it.
SOURCES = ("app", "examples", "phone_agent", "LICENSE", "README.md", "pyproject.toml", "setup.py")

_VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)")
_VERSION_LINE = re.compile(r'^__version__ = "(.+)"$', re.MULTILINE)
_UNRELEASED = re.compile(r"^## Unreleased\n(?P<entries>.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)


class Refused(Exception):
    """The release cannot be made. The message names the fix."""


def release(version: str) -> None:
    """Make the version, and print what to push.

    Raises:
        Refused: a check failed; no file was changed.
        subprocess.CalledProcessError: a command failed. Files may be changed, nothing is committed:
            `git checkout .` restores them.
    """
    changelog = CHANGELOG.read_text(encoding="utf-8")
    source = VERSION_FILE.read_text(encoding="utf-8")
    check_newer(version, current_version(source))
    renewed = released(changelog, version, datetime.now(UTC).date())
    tag = f"v{version}"
    if _git("status", "--porcelain"):
        raise Refused("the working tree has changes; commit or stash them")
    if _git("tag", "--list", tag):
        raise Refused(f"the tag {tag} exists; choose another version")
    subprocess.run(["make", "test"], cwd=ROOT, check=True)

    CHANGELOG.write_text(renewed, encoding="utf-8")
    VERSION_FILE.write_text(with_version(source, version), encoding="utf-8")
    wheel = build_wheel(ROOT / "dist")
    _git("commit", "--quiet", "--message", f"Release {version}", str(CHANGELOG), str(VERSION_FILE))
    _git("tag", "--annotate", tag, "--message", f"Release {version}")
    print(f"Built {wheel.relative_to(ROOT)} and tagged {tag}. Publish it with:")
    print(f"  git push origin HEAD {tag}")


def current_version(source: str) -> str:
    """The version that `app/__init__.py` holds."""
    found = _VERSION_LINE.search(source)
    if found is None:
        raise Refused(f"{VERSION_FILE.name} has no __version__ line")
    return found[1]


def with_version(source: str, version: str) -> str:
    """`app/__init__.py` with another version."""
    return _VERSION_LINE.sub(f'__version__ = "{version}"', source)


def check_newer(version: str, current: str) -> None:
    """Refuse a version that does not follow the current one.

    Raises:
        Refused: `version` is not x.y.z, or not above the current one.
    """
    new, old = _VERSION.fullmatch(version), _VERSION.fullmatch(current)
    if new is None:
        raise Refused(f"VERSION={version}: expected three numbers, such as VERSION=1.2.3")
    if old is not None and tuple(map(int, new.groups())) <= tuple(map(int, old.groups())):
        raise Refused(f"VERSION={version}: expected one above {current}")


def released(changelog: str, version: str, day: date) -> str:
    """The changelog with the entries under Unreleased moved under the version.

    Raises:
        Refused: there is no such section, or nothing in it.
    """
    section = _UNRELEASED.search(changelog)
    if section is None:
        raise Refused("CHANGELOG.md has no section '## Unreleased'")
    if not section["entries"].strip():
        raise Refused("CHANGELOG.md lists nothing under Unreleased; there is nothing to release")
    heading = f"## Unreleased\n\n## {version} ({day.isoformat()})\n"
    return f"{changelog[: section.start()]}{heading}{changelog[section.start('entries') :]}"


def build_wheel(folder: Path) -> Path:
    """Build the wheel of this checkout into the folder, without network. Returns its path."""
    with TemporaryDirectory() as temporary:
        copy = Path(temporary) / "source"
        copy.mkdir()
        for name in SOURCES:
            source, target = ROOT / name, copy / name
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy2(source, target)
        built = Path(temporary) / "built"
        pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
        options = ["--no-index", "--no-build-isolation", "--no-deps", "--wheel-dir", str(built)]
        subprocess.run([*pip, "wheel", *options, str(copy)], check=True)
        (wheel,) = built.glob("*.whl")
        folder.mkdir(parents=True, exist_ok=True)
        return Path(shutil.copy2(wheel, folder))


def _git(*arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True
    )
    return done.stdout.strip()


if __name__ == "__main__":
    try:
        release(sys.argv[1] if len(sys.argv) > 1 else "")
    except Refused as refused:
        sys.exit(str(refused))
    except subprocess.CalledProcessError as error:
        sys.exit(f"{' '.join(map(str, error.cmd))} failed with status {error.returncode}")
