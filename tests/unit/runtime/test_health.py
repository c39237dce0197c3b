"""What a service says of itself under `/health`."""

import tomllib
from pathlib import Path

import aiohttp
import pytest

from services.shared.runtime.process.service import ServiceContext
from services.shared.runtime.process.settings import Settings
from tools.stack.embedded.ports import free_port

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(("ready", "status"), [(True, 200), (False, 503)])
async def test_it_says_its_name_its_version_and_why_it_is_not_ready(ready: bool, status: int) -> None:
    port = free_port()
    context = ServiceContext("border-crossings", Settings(listen_port=port))
    if ready:
        context.set_ready()
    else:
        context.set_not_ready("the broker does not answer")
    await context.serve()
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
            for path, expected in (("/health/live", 200), ("/health/ready", status)):
                async with session.get(path) as response:
                    assert response.status == expected
                    assert await response.json() == {
                        "service": "border-crossings",
                        "ready": ready,
                        "reason": "" if ready else "the broker does not answer",
                        "version": tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"],
                    }
    finally:
        await context.close()
