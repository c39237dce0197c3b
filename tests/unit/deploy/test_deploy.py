"""The deployment files fit the code: services, metrics, ports, topics, and what operators are told."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from services.shared.runtime.process import metrics
from services.shared.runtime.process.settings import PORT_DEFAULT
from tools.stack.embedded.kafka import MESSAGE_BYTES_MAX
from tools.stack.processes import INGEST, SERVICES

ROOT = Path(__file__).parents[3]
PROMETHEUS = ROOT / "deploy" / "prometheus"
DASHBOARD = ROOT / "deploy" / "grafana" / "dashboards" / "tolqyn.json"
METRIC = re.compile(r"\btolqyn_[a-z_]+\b")
PROMTOOL_SECONDS_MAX = 60


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))
    return loaded


@pytest.fixture(scope="module")
def alerts() -> dict[str, dict[str, Any]]:
    groups = yaml.safe_load((PROMETHEUS / "alerts.yml").read_text("utf-8"))["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"]}


@pytest.fixture(scope="module")
def dashboard() -> list[dict[str, Any]]:
    panels: list[dict[str, Any]] = json.loads(DASHBOARD.read_text("utf-8"))["panels"]
    return panels


def promtool(*arguments: str) -> str:
    tool = shutil.which("promtool")
    if tool is None:
        pytest.fail("the alert rules are tested with promtool, which is not installed: apt-get install prometheus")
    done = subprocess.run([tool, *arguments], capture_output=True, text=True, check=False, timeout=PROMTOOL_SECONDS_MAX)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_prometheus_accepts_its_configuration_and_rules() -> None:
    assert "SUCCESS" in promtool("check", "config", str(PROMETHEUS / "prometheus.yml"))
    assert "SUCCESS" in promtool("check", "rules", str(PROMETHEUS / "alerts.yml"))


def test_alerts_fire_on_what_they_are_for_and_on_nothing_else() -> None:
    promtool("test", "rules", str(PROMETHEUS / "alerts_test.yml"))


def test_every_alert_is_tested_in_silence_and_in_alarm(alerts: dict[str, dict[str, Any]]) -> None:
    tests = yaml.safe_load((PROMETHEUS / "alerts_test.yml").read_text("utf-8"))["tests"]
    cases = [case for test in tests for case in test["alert_rule_test"]]
    assert {case["alertname"] for case in cases if case["exp_alerts"]} == set(alerts)
    assert {case["alertname"] for case in cases if not case["exp_alerts"]} == set(alerts)


def test_alerts_and_dashboard_use_declared_metrics_only(alerts: dict[str, dict[str, Any]], dashboard: list[dict[str, Any]]) -> None:
    used = {name for rule in alerts.values() for name in METRIC.findall(rule["expr"])}
    for panel in dashboard:
        for target in panel.get("targets", ()):
            used |= set(METRIC.findall(target["expr"]))
    assert used - metrics.declared() == set()


def test_the_dashboard_shows_every_metric_that_is_declared(dashboard: list[dict[str, Any]]) -> None:
    shown = {name for panel in dashboard for t in panel.get("targets", ()) for name in METRIC.findall(t["expr"])}
    histograms = {name.removesuffix("_bucket") for name in metrics.declared() if name.endswith("_bucket")}
    parts = {base + suffix for base in histograms for suffix in ("_sum", "_count")}
    assert metrics.declared() - parts - shown == set()


def test_panels_have_numbers_of_their_own_and_do_not_overlap(dashboard: list[dict[str, Any]]) -> None:
    assert len({panel["id"] for panel in dashboard}) == len(dashboard)
    taken: set[tuple[int, int]] = set()
    for panel in dashboard:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells


def test_every_alert_has_a_page_for_operators_and_every_page_an_alert(alerts: dict[str, dict[str, Any]]) -> None:
    text = (ROOT / "docs" / "operating.md").read_text("utf-8")
    _, _, pages = text.partition("## Alerts")
    assert set(re.findall(r"^### (\w+)$", pages, re.MULTILINE)) == set(alerts)
    for name, rule in alerts.items():
        assert rule["annotations"]["page"] == f"docs/operating.md#{name.lower()}"
        section = pages.partition(f"### {name}\n")[2].partition("\n### ")[0]
        assert all(word in section for word in ("**Means.**", "**Look.**", "**Do.**")), name


def test_compose_runs_every_service_of_the_stack_with_its_module_and_settings(compose: dict[str, Any]) -> None:
    for service in SERVICES:
        described = compose["services"][service.name]
        assert described["command"] == [service.module]
        assert service.env.items() <= described["environment"].items()
        assert described["depends_on"]["topics"] == {"condition": "service_completed_successfully"}
        assert described["restart"] == "unless-stopped"


def test_published_ports_are_those_of_the_contract_and_on_loopback(compose: dict[str, Any]) -> None:
    for service in SERVICES:
        ports = compose["services"][service.name].get("ports", [])
        expected = [] if service.offset is None else [f"127.0.0.1:{PORT_DEFAULT + service.offset}:8080"]
        assert ports == expected
    published = [port for described in compose["services"].values() for port in described.get("ports", ())]
    assert all(port.startswith("127.0.0.1:") for port in published)
    assert len(published) == len(set(published))


def test_prometheus_scrapes_every_service(compose: dict[str, Any]) -> None:
    config = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text("utf-8"))
    targets = config["scrape_configs"][0]["static_configs"][0]["targets"]
    assert sorted(targets) == sorted(f"{service.name}:8080" for service in SERVICES)


def test_every_volume_and_secret_that_is_used_is_declared_and_none_besides(compose: dict[str, Any]) -> None:
    volumes = {v.split(":")[0] for s in compose["services"].values() for v in s.get("volumes", ()) if not v.startswith(".")}
    assert volumes == set(compose["volumes"])
    secrets = {name for s in compose["services"].values() for name in s.get("secrets", ())}
    assert secrets == set(compose["secrets"])


def test_no_password_stands_in_the_compose_file(compose: dict[str, Any]) -> None:
    for described in compose["services"].values():
        for name, value in described.get("environment", {}).items():
            if "PASSWORD" in name or "SECRET" in name:
                assert str(value).startswith("/run/secrets/"), name
        assert "@" not in described.get("environment", {}).get("DATABASE_URL", "")


def test_only_what_creates_keys_may_write_where_the_keys_are(compose: dict[str, Any]) -> None:
    writers = {
        name
        for name, s in compose["services"].items()
        for v in s.get("volumes", ())
        if v.startswith("secrets:") and v[-3:] != ":ro"
    }
    assert writers == {"topics", "tolqyn"}
    readers = {name for name, s in compose["services"].items() for v in s.get("volumes", ()) if v.startswith("secrets:")}
    assert readers - writers == {service.name for service in INGEST}


def test_the_broker_is_set_up_as_the_topics_need_it(compose: dict[str, Any]) -> None:
    broker = compose["services"]["kafka"]["environment"]
    assert broker["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false"
    assert int(broker["KAFKA_MESSAGE_MAX_BYTES"]) == MESSAGE_BYTES_MAX
    assert compose["services"]["kafka"]["image"] == "apache/kafka:4.1.1"


def test_the_image_installs_locked_packages_only_and_does_not_run_as_root() -> None:
    text = (ROOT / "deploy" / "Dockerfile").read_text("utf-8")
    assert "--require-hashes" in text
    assert 'ENTRYPOINT ["python", "-P", "-m"]' in text
    assert re.search(r"^USER 10001", text, re.MULTILINE)
    assert re.search(r"^HEALTHCHECK ", text, re.MULTILINE)
    assert re.findall(r"^FROM (\S+)", text, re.MULTILINE) == ["python:3.11-slim", "python:3.11-slim"]


def test_secrets_are_made_once_and_never_replaced(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "deploy", tmp_path / "deploy")
    made = tmp_path / "deploy" / "secrets"
    for path in made.iterdir():
        if path.name not in (".gitignore", "README.md"):
            path.unlink()
    subprocess.run([tmp_path / "deploy" / "make-secrets"], check=True, capture_output=True)
    first = {path.name: path.read_bytes() for path in made.iterdir()}
    subprocess.run([tmp_path / "deploy" / "make-secrets"], check=True, capture_output=True)
    assert {path.name: path.read_bytes() for path in made.iterdir()} == first
    password = first["postgres-password"].decode()
    assert re.fullmatch("[0-9a-f]{48}", password)
    assert f"password={password}\n" in first["pg_service.conf"].decode()
    assert first["grafana-password"] != first["postgres-password"]
    assert made.stat().st_mode & 0o077 == 0
