"""docs/integrations.md is true: its code runs, and each application that it makes answers."""

import asyncio
import re
import subprocess
import sys
from types import ModuleType
from typing import Any

import httpx
import pytest

from tests.e2e.cluster import ROOT
from tests.e2e.guarded import Guarded

DJANGO = """
import django
from django.conf import settings
settings.configure(CACHES=CACHES, SESSION_ENGINE=SESSION_ENGINE, SECRET_KEY="of no one")
django.setup()
from django.core.cache import caches
from django.contrib.sessions.backends.cache import SessionStore
caches["default"].set("k", [1])
assert caches["default"].get("k") == [1]
caches["dated"].set("k", date(2026, 1, 2))
assert caches["dated"].get("k") == "2026-01-02"
session = SessionStore()
session["user"] = "ada"
session.save()
assert SessionStore(session.session_key)["user"] == "ada"
caches["default"].clear()
caches["dated"].clear()
print("done")
"""


def sections(guarded: Guarded) -> dict[str, str]:
    """The code below each heading, with a token."""
    page = (ROOT / "docs" / "integrations.md").read_text()
    page = page.replace('"http://127.0.0.1:4000"', f'"{guarded.cluster.url}"')
    page = page.replace("Concord(", f'Concord(token="{guarded.root}", endpoints=').replace("endpoints=)", ")")
    page = page.replace('"OPTIONS": {', f'"OPTIONS": {{"token": "{guarded.root}", ')
    found = {}
    for part in page.split("\n## ")[1:]:
        heading, _, text = part.partition("\n")
        found[heading] = "\n".join(re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE))
    return found


async def asked(app: Any, method: str, path: str) -> httpx.Response:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="https://a") as browser:
        return await browser.request(method, path)


def test_the_page_is_true(guarded: Guarded, monkeypatch: pytest.MonkeyPatch) -> None:
    code = sections(guarded)
    tour = ModuleType("tour")
    monkeypatch.setitem(sys.modules, "tour", tour)  # where Litestar looks up what annotations name
    names = vars(tour)

    async def main() -> None:
        exec(compile(code["Litestar"], "docs/integrations.md", "exec"), names)  # noqa: S102 - our own page
        assert (await asked(names["litestar_app"], "POST", "/login")).cookies
        assert (await asked(names["litestar_app"], "GET", "/")).text == "hello"
        await names["store"].delete_all()
        await names["client"].close()
        exec(compile(code["Starlette and FastAPI"], "docs/integrations.md", "exec"), names)  # noqa: S102 - our own page
        answer = await asked(names["starlette_app"], "GET", "/enter")
        assert (answer.json(), list(answer.cookies)) == ({"user": "ada"}, ["__Host-session"])
        await names["client"].close()

    asyncio.run(main())
    exec(compile(code["Flask"], "docs/integrations.md", "exec"), names)  # noqa: S102 - our own page
    answer = names["flask_app"].test_client().post("/login", base_url="https://a")
    assert (answer.text, "Secure" in answer.headers["Set-Cookie"]) == ("welcome", True)
    names["flask_app"].session_interface._client.close()


def test_its_django_settings_work_in_a_process_of_their_own(guarded: Guarded) -> None:
    script = sections(guarded)["Django"] + DJANGO
    where = f"import sys; sys.path.insert(0, {str(ROOT / 'sdk')!r})\n"
    done = subprocess.run(
        [sys.executable, "-I", "-c", where + script], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout == "done\n", done.stderr
