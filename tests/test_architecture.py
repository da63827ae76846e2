"""The house as DESIGN.md draws it: who may import whom, what the settings name, and where the key may be."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
from typing import TYPE_CHECKING

import pytest
from conftest import KEY, ROOT
from scrapy import Spider
from scrapy.utils.misc import load_object

import lastfm_crawl
from lastfm_crawl import services, settings, spiders
from lastfm_crawl.services.lastfm import Call, get_friends, get_info, get_recent_tracks, get_top_artists, get_top_tags

if TYPE_CHECKING:
    from pathlib import Path

PACKAGE = ROOT / "lastfm_crawl"
FLOORS = [
    {"httpcache", "matching", "sandbox"},
    {"services", "warehouse"},
    {"spiders", "downloader", "pipelines", "extensions", "insight"},
    {"commands"},
]
#: On no floor: what flows, how a run ends, what the settings mean, and who is logged in.
FREE = {"items", "stop", "config", "settings", "jobdir", "logins", "secret_manager", "reference"}
MODULES = sorted(path.relative_to(ROOT) for path in PACKAGE.rglob("*.py"))


def floor(room: str) -> int:
    return next(number for number, rooms in enumerate(FLOORS) if room in rooms)


def rooms_imported(path: Path) -> set[str]:
    """The rooms and free modules of the project that a file imports, anywhere in it."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    names = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            # One dot is the package of the file, two are the one around it.
            outer = path.parts[: len(path.parts) - node.level] if node.level else ()
            module = ".".join([*outer, *filter(None, [node.module])])
            names += [f"{module}.{alias.name}" for alias in node.names]
    return {name.split(".")[1] for name in names if name.startswith("lastfm_crawl.")}


def test_every_module_stands_on_a_floor():
    rooms = {path.parts[1].removesuffix(".py") for path in MODULES} - {"__init__"}
    assert rooms <= FREE.union(*FLOORS)
    assert len(MODULES) > 30


@pytest.mark.parametrize(
    "path", [p for p in MODULES if p.parts[1].removesuffix(".py") not in FREE | {"__init__"}], ids=str
)
def test_imports_point_down(path):
    room = path.parts[1]
    for imported in rooms_imported(path) - FREE - {room}:
        assert floor(imported) < floor(room), f"{path} imports {imported}"


@pytest.mark.parametrize("room", sorted(FLOORS[0]))
def test_the_ground_floor_knows_nobody(room):
    for path in MODULES:
        if path.parts[1] == room:
            assert rooms_imported(path) <= {room}, path


@pytest.mark.parametrize("name", sorted(FREE))
def test_free_modules_import_no_room(name):
    assert rooms_imported(PACKAGE.joinpath(f"{name}.py").relative_to(ROOT)) <= FREE


def test_services_do_nothing_but_talk():
    """Pure: bytes in, items out. No crawler, no files, no network, no clock."""
    forbidden = {
        "scrapy",
        "twisted",
        "asyncio",
        "socket",
        "requests",
        "httpx",
        "pathlib",
        "os",
        "time",
        "random",
        "psycopg",
    }
    for path in MODULES:
        if path.parts[1] == "services":
            tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
            imported = {
                alias.name.split(".")[0] for n in ast.walk(tree) if isinstance(n, ast.Import) for alias in n.names
            }
            imported |= {(n.module or "").split(".")[0] for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
            assert not imported & forbidden, path


# --- settings -----------------------------------------------------------------------------------------------------


def named_in(value):
    """Every dotted name of ours and of Scrapy in a setting."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from named_in(key)
            yield from named_in(inner)
    elif (
        isinstance(value, str)
        and value.startswith(("lastfm_crawl.", "scrapy."))
        and value.rpartition(".")[2][0].isupper()
    ):
        yield value


NAMED = sorted(
    {name for setting in dir(settings) if setting.isupper() for name in named_in(getattr(settings, setting))}
)


def test_settings_name_classes():
    assert len([name for name in NAMED if name.startswith("lastfm_crawl.")]) >= 8


@pytest.mark.parametrize("name", NAMED)
def test_every_class_that_a_setting_names_is_there(name):
    assert inspect.isclass(load_object(name))


def test_answers_are_decoded_then_judged_then_stored():
    order = {name.rpartition(".")[2]: place for name, place in settings.DOWNLOADER_MIDDLEWARES.items()}
    assert order["AsyncHttpCacheMiddleware"] == 900
    assert order["ErrorMiddleware"] == 920
    assert order["TolerantCompressionMiddleware"] == 950
    for name in ("HttpCacheMiddleware", "RetryMiddleware", "RedirectMiddleware"):
        assert order[name] is None


def test_pipelines_come_in_order():
    order = {name.rpartition(".")[2]: place for name, place in settings.ITEM_PIPELINES.items()}
    assert order["ValidatePipeline"] < order["DeduplicatePipeline"] < order["LoadPipeline"]


def test_the_pace_of_the_design():
    assert settings.DOWNLOAD_DELAY == 1
    assert settings.DOWNLOAD_DELAY_JITTER == 0
    assert settings.CONCURRENT_REQUESTS == 4
    assert settings.AUTOTHROTTLE_ENABLED


def test_no_secret_is_a_setting():
    assert not [name for name in dir(settings) if name.isupper() and ("KEY" in name or "SECRET" in name)]


# --- spiders ------------------------------------------------------------------------------------------------------


def spider_classes() -> list[type[Spider]]:
    modules = [importlib.import_module(f"{spiders.__name__}.{m.name}") for m in pkgutil.iter_modules(spiders.__path__)]
    found = {
        c
        for m in modules
        for _, c in inspect.getmembers(m, inspect.isclass)
        if issubclass(c, Spider) and c is not Spider
    }
    return sorted(found, key=lambda c: c.__name__)


def test_there_are_spiders():
    assert {getattr(c, "name", None) for c in spider_classes()} >= {"friends", "top_artists"}


@pytest.mark.parametrize("spider", spider_classes(), ids=lambda c: c.__name__)
def test_no_spider_is_faster_than_the_others(spider):
    own = spider.custom_settings or {}
    least = 0.6 if spider.__name__.startswith("Spotify") else settings.DOWNLOAD_DELAY  # 100 a minute
    assert own.get("DOWNLOAD_DELAY", settings.DOWNLOAD_DELAY) >= least
    assert own.get("CONCURRENT_REQUESTS", settings.CONCURRENT_REQUESTS) <= settings.CONCURRENT_REQUESTS
    assert not own.keys() & {"DOWNLOAD_SLOTS", "DOWNLOAD_HANDLERS", "DOWNLOADER_MIDDLEWARES"}
    assert getattr(spider, "download_delay", settings.DOWNLOAD_DELAY) >= settings.DOWNLOAD_DELAY


# --- the key ------------------------------------------------------------------------------------------------------


CALLS = [
    get_info("rj"),
    get_friends("rj"),
    get_top_artists("rj"),
    get_recent_tracks("rj", from_=0, to=1),
    get_top_tags("a", "b"),
    Call("any.method", "rj"),
]


@pytest.mark.parametrize("call", CALLS)
def test_no_url_holds_the_key(call, monkeypatch):
    monkeypatch.setenv("LASTFM_API_KEY", KEY)
    assert "api_key" not in call.url("https://ws.audioscrobbler.com/2.0/")
    assert "api_key" not in call.store_key
    assert "api_key" not in call.all_params
    assert KEY not in call.url("https://ws.audioscrobbler.com/2.0/")


def test_only_signing_writes_the_name_of_the_key():
    """In the whole package ``api_key`` is written in one module; URLs get it in one place: the signer."""
    calls = []
    for path in MODULES:
        text = (ROOT / path).read_text(encoding="utf-8")
        if path.parts[1] != "sandbox" and '"api_key"' in text:
            assert path.parts[1:] == ("services", "lastfm", "auth.py")
        calls += [
            path.parts[1:]
            for node in ast.walk(ast.parse(text))
            if isinstance(node, ast.Call) and _called(node) == "signed"
        ]
    assert calls == [("downloader", "credentials.py")]


def _called(node: ast.Call) -> str:
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def test_everything_imports():
    for package in (lastfm_crawl, services):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)
