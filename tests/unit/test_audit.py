"""An audit that audited nothing must not look like one that found nothing."""

from __future__ import annotations

import json

from deploy import audit

_FLAW = {"id": "PYSEC-1", "fix_versions": ["1.1"], "aliases": [], "description": ""}


def report(*packages: dict[str, object]) -> audit.Report:
    return audit.parse(json.dumps({"dependencies": list(packages), "fixes": []}))


def test_a_service_that_was_not_reached_is_no_clean_bill() -> None:
    found = report({"name": "a", "skip_reason": "Dependency not found"})
    assert found.code == 2
    assert "NOTHING WAS AUDITED" in found.lines()[0]
    assert audit.parse("no JSON").code == 2


def test_an_advisory_names_the_version_that_mends_it() -> None:
    found = report({"name": "a", "version": "1.0", "vulns": [_FLAW]}, {"name": "b", "version": "2", "vulns": []})
    assert found.code == 1
    assert found.lines() == ["a 1.0: PYSEC-1, fixed in 1.1", "2 packages audited, 1 advisories"]


def test_nothing_found_is_exit_code_0_and_says_how_many_were_looked_up() -> None:
    found = report({"name": "b", "version": "2", "vulns": []}, {"name": "c", "skip_reason": "not found"})
    assert (found.code, found.lines()) == (0, ["1 packages audited, 0 advisories, 1 could not be looked up"])
