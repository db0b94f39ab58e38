"""A Django project on a real cluster: the cache in all its methods, cached fragments of templates, and sessions in the cache."""

import asyncio
import math
import os
from collections.abc import Iterator
from datetime import date
from typing import Any

import django
import pytest
from django.conf import settings
from django.core.cache import CacheKeyWarning, caches
from django.core.cache.backends.base import BaseCache
from django.http import HttpRequest, HttpResponse
from django.template import Context, Template
from django.test import Client
from django.urls import path

from concord import Concord, UnknownOutcome
from concord.contrib import django as module
from concord.contrib.django import TTL_S_MAX
from tests.e2e.guarded import Guarded

BACKEND = "concord.contrib.django.ConcordCache"


class Upper:
    """A serializer that leaves its mark."""

    def dumps(self, obj: Any) -> bytes | int:
        return obj if type(obj) is int else repr(obj).upper().encode()

    def loads(self, data: bytes) -> Any:
        return data.decode()


def own_key(key: object, prefix: str, version: int) -> str:
    return f"{version}/{prefix}/{key}"


def visit(request: HttpRequest) -> HttpResponse:
    session: Any = request.session  # type: ignore[attr-defined, unused-ignore] # the middleware sets it
    session["visits"] = session.get("visits", 0) + 1
    return HttpResponse(str(session["visits"]))


urlpatterns = [path("visit", visit)]


@pytest.fixture(scope="module", autouse=True)
def configured(guarded: Guarded) -> Iterator[Concord]:
    """The one configuration that a process may have."""
    common = {"BACKEND": BACKEND, "LOCATION": guarded.cluster.url, "TIMEOUT": 90}
    options = {"token": guarded.root, "timeout": 20.0}
    settings.configure(
        CACHES={
            "default": {**common, "OPTIONS": {**options, "namespace": "dj/"}},
            "prefixed": {**common, "OPTIONS": {**options, "namespace": "dj/"}, "KEY_PREFIX": "p", "VERSION": 2},
            "other": {**common, "OPTIONS": {**options, "namespace": "other/"}, "KEY_FUNCTION": own_key},
            "upper": {**common, "OPTIONS": {**options, "serializer": Upper, "MAX_ENTRIES": 10}},
        },
        SESSION_ENGINE="django.contrib.sessions.backends.cache",
        MIDDLEWARE=["django.contrib.sessions.middleware.SessionMiddleware"],
        ROOT_URLCONF=__name__,
        ALLOWED_HOSTS=["testserver"],
        SECRET_KEY="of no one",  # noqa: S106 - signs nothing here
        TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates"}],
    )
    django.setup()
    with Concord(guarded.cluster.url, token=guarded.root) as client:
        yield client
    for cache in caches.all(initialized_only=True):
        cache._client.close()
    module._shared_client.cache_clear()


@pytest.fixture
def cache() -> Iterator[Any]:
    yield caches["default"]
    caches["default"].clear()


@pytest.mark.parametrize(
    "value", [None, True, 0, -1, 2**70, 1.5, "ä", "", b"\x00\xff", [1, [2]], {"a": {"b": None}}, {}, float(10**20)]
)
def test_a_value_comes_back_as_it_was(cache: Any, value: object) -> None:
    cache.set("k", value)
    found = cache.get("k", "default")
    assert (found, type(found)) == (value, type(value))
    assert cache.get_many(["k", "none"]) == {"k": value}
    assert cache.has_key("k")
    assert "none" not in cache


@pytest.mark.parametrize("value", [(1, 2), {1: "a"}, {1}, date(2026, 1, 1), object(), [math.nan], "\ud800"])
def test_what_would_come_back_as_something_else_is_refused(cache: Any, value: object) -> None:
    for write in (cache.set, cache.add):
        with pytest.raises(TypeError, match="serializer"):
            write("k", value)
    with pytest.raises(TypeError, match="serializer"):
        cache.set_many({"j": 1, "k": value})
    assert cache.get_many(["j", "k"]) == {}


def test_each_method_does_what_django_says(cache: Any) -> None:
    assert cache.get("k", "default") == "default"
    assert cache.add("k", 1)
    assert not cache.add("k", 2)
    assert [cache.incr("k"), cache.incr("k", 10), cache.decr("k", 2)] == [2, 12, 10]
    with pytest.raises(ValueError, match="not found"):
        cache.incr("none")
    cache.set("text", "seven")
    with pytest.raises(TypeError):
        cache.incr("text")
    assert cache.get_or_set("made", lambda: 7) == 7
    assert (cache.delete("made"), cache.delete("made")) == (True, False)
    assert cache.incr_version("k") == 2
    assert (cache.get("k"), cache.get("k", version=2), cache.decr_version("k", version=2)) == (None, 10, 1)
    assert cache.set_many({"a": 1, "b": b"2"}) == []
    assert cache.set_many({}) == []
    assert cache.get_many(["a", "b", "c"]) == {"a": 1, "b": b"2"}
    cache.delete_many(["a", "c"])
    assert cache.get_many(["a", "b"]) == {"b": b"2"}
    with pytest.warns(CacheKeyWarning, match="memcached"):
        cache.set("with blanks", 1)


def test_times_are_kept(cache: Any, configured: Concord) -> None:
    cases = {"default": 90, "none": None, "half": 1, "float": 2, "long": TTL_S_MAX}
    cache.set("default", 1)
    for key, timeout in {"none": None, "half": 0.5, "float": 1.2, "long": 10 * TTL_S_MAX}.items():
        cache.set(key, 1, timeout)
    assert {key: configured.ttl(f"dj/:1:{key}") for key in cases} == cases
    assert cache.touch("none", 50)
    assert cache.incr("none") == 2
    assert configured.ttl("dj/:1:none") == 50
    assert cache.touch("none", None)
    assert configured.ttl("dj/:1:none") == TTL_S_MAX
    assert not cache.touch("nobody", 5)


@pytest.mark.parametrize("timeout", [0, -1, -0.5])
def test_what_has_no_time_is_not_there(cache: Any, timeout: float) -> None:
    cache.set("k", 1)
    cache.set("k", 1, timeout)
    assert cache.add("k", 2, timeout)
    assert cache.get("k") is None
    assert cache.set_many({"k": 1}, timeout) == []
    assert cache.get("k") is None
    cache.set("k", 1)
    assert not cache.add("k", 2, timeout)
    assert cache.touch("k", timeout)
    assert not cache.touch("k", timeout)


def test_clear_takes_what_is_below_the_namespace_and_nothing_else(cache: Any, configured: Concord) -> None:
    prefixed, other = caches["prefixed"], caches["other"]
    for each in (cache, prefixed, other):
        each.set("k", each.key_prefix)
    assert configured.get("dj/p:2:k") == "p"
    assert configured.get("other/1//k") == ""
    cache.clear()
    assert [each.get("k") for each in (cache, prefixed, other)] == [None, None, ""]
    other.clear()


def test_what_could_not_be_set_is_told(cache: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Failing:
        def put_many(self, items: dict[str, Any], **_: object) -> Any:
            class Outcome:
                errors = dict.fromkeys(list(items)[1:], UnknownOutcome("who knows"))

            return Outcome

    monkeypatch.setattr(type(cache), "_client", Failing())
    assert cache.set_many({"a": 1, "b": 2}) == ["b"]


def test_a_serializer_of_the_project_is_used_and_counters_stay_counters() -> None:
    cache = caches["upper"]
    cache.set("k", "a")
    assert cache.get("k") == "'A'"
    cache.set("n", 1)
    assert cache.incr("n") == 2
    assert cache.get_many(["k", "n"]) == {"k": "'A'", "n": 2}
    cache.clear()


def test_coroutines_count_atomically_and_ask_once_for_many(cache: Any) -> None:
    async def main() -> None:
        await cache.aset("n", 0)
        await asyncio.gather(*(cache.aincr("n") for _ in range(20)))
        assert await cache.aget("n") == 20
        assert await cache.aset_many({"a": 1, "b": 2}) == []
        assert await cache.aget_many(["a", "b", "n"]) == {"a": 1, "b": 2, "n": 20}
        await cache.adelete_many(["a"])
        assert not await cache.ahas_key("a")

    asyncio.run(main())


def test_threads_share_a_client_and_a_forked_process_has_its_own(cache: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    again = caches.create_connection("default")
    assert again is not cache
    assert again._client is cache._client
    monkeypatch.setattr(os, "getpid", lambda: 1)
    of_the_child = again._client
    monkeypatch.undo()
    assert of_the_child is not cache._client
    of_the_child.close()


def test_a_fragment_of_a_template_is_cached(cache: Any) -> None:
    template = Template("{% load cache %}{% cache 60 part %}<b>{{ n }}</b>{% endcache %}")
    assert [template.render(Context({"n": n})) for n in (1, 2)] == ["<b>1</b>", "<b>1</b>"]
    assert isinstance(cache, BaseCache)


def test_sessions_live_in_the_cache(cache: Any, configured: Concord) -> None:
    browser, other = Client(), Client()
    assert [browser.get("/visit").content for _ in range(3)] == [b"1", b"2", b"3"]
    assert other.get("/visit").content == b"1"
    assert len(list(configured.keys("dj/:1:django.contrib.sessions.cache"))) == 2
    assert cache.get("none") is None
