"""`make release`: the changelog, the version, and what is refused."""

from datetime import date

import pytest

from scripts.release import Refused, check_newer, current_version, released, with_version

CHANGELOG = """# Changelog

## Unreleased

### Added

- A thing.

## 0.1.0 (2026-01-02)

- The first.
"""


def test_entries_under_unreleased_move_under_the_version() -> None:
    assert released(CHANGELOG, "0.2.0", date(2026, 12, 1)) == CHANGELOG.replace(
        "## Unreleased\n", "## Unreleased\n\n## 0.2.0 (2026-12-01)\n"
    )


@pytest.mark.parametrize(
    "changelog",
    ["# Changelog\n", "# Changelog\n\n## Unreleased\n", CHANGELOG.replace("Unreleased", "0.2.0")],
)
def test_nothing_to_release_is_refused(changelog: str) -> None:
    with pytest.raises(Refused, match="Unreleased"):
        released(changelog, "0.2.0", date(2026, 12, 1))


def test_a_section_that_is_empty_before_another_version_is_refused() -> None:
    once = released(CHANGELOG, "0.2.0", date(2026, 12, 1))

    with pytest.raises(Refused, match="nothing to release"):
        released(once, "0.3.0", date(2026, 12, 2))


@pytest.mark.parametrize("version", ["", "1", "1.2", "v1.2.3", "1.2.3rc1", "0.9.9", "1.0.0"])
def test_a_version_that_is_not_above_the_current_one_is_refused(version: str) -> None:
    with pytest.raises(Refused, match="VERSION="):
        check_newer(version, "1.0.0")


def test_a_version_counts_in_numbers() -> None:
    check_newer("0.10.0", "0.9.9")


def test_the_version_is_written_where_it_is_read() -> None:
    source = '"""The service."""\n\n__version__ = "0.1.0"\n'

    assert current_version(with_version(source, "0.2.0")) == "0.2.0"
    with pytest.raises(Refused):
        current_version("")
