"""The file of API keys."""

import argparse
from pathlib import Path

import pytest

from services.shared.runtime.process.api_keys import ApiKeys
from services.shared.runtime.process.errors import ConfigurationError, UsageError
from tools.command import keys as command


def test_a_key_is_found_by_its_text_and_kept_only_as_a_hash(tmp_path: Path) -> None:
    keys = ApiKeys(tmp_path / "secrets" / "api-keys.json")
    entry, key = keys.add("knb", "border-crossings")
    assert keys.find(key) == entry
    assert keys.find(key + "x") is None
    assert keys.find("") is None
    assert keys.find("\udcff") is None
    file = tmp_path / "secrets" / "api-keys.json"
    assert key not in file.read_text()
    assert file.stat().st_mode & 0o077 == 0


def test_what_another_process_adds_or_revokes_counts_at_once(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    service, command = ApiKeys(path), ApiKeys(path)
    entry, key = command.add("knb", "border-crossings")
    assert service.find(key) == entry
    command.revoke(entry.id)
    assert service.find(key) is None
    assert [k.revoked is None for k in service.all()] == [False]


def test_two_writers_lose_no_key(tmp_path: Path) -> None:
    one, other = ApiKeys(tmp_path / "k.json"), ApiKeys(tmp_path / "k.json")
    made = [writer.add("a", "work-permits")[1] for writer in (one, other, one, other)]
    assert all(one.find(key) for key in made)


def test_a_bad_agency_name_or_an_unknown_id_is_a_usage_error(tmp_path: Path) -> None:
    keys = ApiKeys(tmp_path / "k.json")
    for name in ("", "KNB", "a" * 33, "a/b"):
        with pytest.raises(UsageError):
            keys.add(name, "work-permits")
    with pytest.raises(UsageError):
        keys.revoke("00000000")


def test_a_damaged_file_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "k.json").write_text("{")
    with pytest.raises(ConfigurationError, match="damaged"):
        ApiKeys(tmp_path / "k.json").find("x")


def test_the_command_prints_a_key_once_lists_it_and_revokes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TOLQYN_API_KEYS_FILE", str(tmp_path / "k.json"))
    parser = argparse.ArgumentParser()
    command.add_parser(parser.add_subparsers())

    def tolqyn(*words: str) -> str:
        args = parser.parse_args(["keys", *words])
        assert args.run(args) == 0
        return capsys.readouterr().out

    key = tolqyn("add", "--agency", "knb", "--feed", "border-crossings").strip()
    assert key.startswith("tlq_")
    listed = tolqyn("list")
    assert key not in listed
    assert "knb" in listed
    tolqyn("revoke", listed.split()[0])
    assert ApiKeys(tmp_path / "k.json").find(key) is None
