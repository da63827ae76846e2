"""What README.md and docs/ say is so: links lead somewhere, commands exist, quotes are quotes, examples run."""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import shlex
import subprocess
import sys
from inspect import isclass
from pathlib import Path
from types import SimpleNamespace

import psycopg
import pytest
from conftest import ROOT
from scrapy.commands import ScrapyCommand
from scrapy.spiderloader import SpiderLoader
from scrapy.utils.project import get_project_settings

from docs.reference import FOLDER, STATS, pages, stats_in_code
from lastfm_crawl.items import TopArtistsPage
from lastfm_crawl.sandbox import Faults, demo_world, serve
from lastfm_crawl.services.problems import Action, Problem
from lastfm_crawl.warehouse.database import Database
from lastfm_crawl.warehouse.feeding import Feeder
from lastfm_crawl.warehouse.postgres import PostgresSink

PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"(?:<!-- run: (\S+) -->\n)?```(\w*)\n(.*?)```", re.DOTALL)
EXTENDING = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
EXAMPLES = {name: code for name, _, code in BLOCK.findall(EXTENDING) if name}
QUOTES = [
    (match[2], body)
    for _, _, code in BLOCK.findall(EXTENDING)
    if (match := re.match(r"(#|--) (lastfm_crawl/\S+)\n", code))
    for body in [code[match.end() :]]
]


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


# --- links --------------------------------------------------------------------------------------------------------


def anchors(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page):
    text = BLOCK.sub("", page.read_text(encoding="utf-8"))
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        path, _, anchor = target.partition("#")
        if path.startswith(("http://", "https://")):
            continue
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{target} leads nowhere"
        if anchor:
            assert anchor in anchors(file), f"{target}: there is no such heading"


# --- commands -----------------------------------------------------------------------------------------------------


def command_lines() -> list[tuple[str, str]]:
    """Every command of ours in a block or between backticks."""
    found = []
    for page in PAGES:
        if page.parent == FOLDER:
            continue  # generated
        text = page.read_text(encoding="utf-8")
        lines = [line for _, kind, code in BLOCK.findall(text) if kind != "python" for line in code.splitlines()]
        lines += [line[4:] for line in BLOCK.sub("", text).splitlines() if line.startswith("    scrapy ")]
        lines += re.findall(r"`(scrapy [^`]+)`", BLOCK.sub("", text))
        for line in lines:
            for part in re.split(r"&&|;|\|\s", line.partition("  #")[0]):
                words = re.sub(r"^(\s*[A-Z_]+=\S+)*\s*(\S*/)?(?=scrapy )", "", part)
                if words.startswith("scrapy "):
                    found.append((name_of(page), words.strip()))
    return sorted(set(found))


def commands() -> dict[str, type[ScrapyCommand]]:
    found = {}
    for path in (ROOT / "lastfm_crawl" / "commands").glob("*.py"):
        module = importlib.import_module(f"lastfm_crawl.commands.{path.stem}")
        for value in vars(module).values():
            if isclass(value) and issubclass(value, ScrapyCommand) and value.__module__ == module.__name__:
                found[path.stem] = value
    return found


COMMANDS = commands()
SPIDERS = SpiderLoader.from_settings(get_project_settings())
#: Stands for what the reader fills in.
PLACEHOLDER = re.compile(r"[A-Z_|…]+$|.*[…]")


def test_there_are_commands_to_check():
    assert len(command_lines()) > 40


@pytest.mark.parametrize(("page", "line"), command_lines(), ids=str)
def test_commands_are_there_and_take_these_options(page, line):
    words = [word for word in shlex.split(line.replace("[", "").replace("]", "")) if word not in {"…", "..."}]
    _, name, *rest = words
    if PLACEHOLDER.fullmatch(name) or name in {"list", "settings", "bench"}:
        return
    assert name in COMMANDS, f"{page}: there is no command {name}"
    command = COMMANDS[name]()
    command.settings = get_project_settings()
    parser = argparse.ArgumentParser(prog=name, conflict_handler="resolve")
    command.add_options(parser)
    parser.error = lambda message: pytest.fail(f"{page}: {line}: {message}")
    options, arguments = parser.parse_known_args([word.replace("…", "1") for word in rest])
    unknown = [word for word in arguments if word.startswith("--")]
    assert not unknown, f"{page}: {line}: no option {unknown}"
    if name == "crawl" and arguments and not PLACEHOLDER.fullmatch(arguments[0]):
        if f"{arguments[0]}.py" in EXAMPLES:
            return
        spider = SPIDERS.load(arguments[0])
        given = dict(pair.split("=", 1) for pair in options.spargs)
        assert set(given) <= {*spider.arguments, "max_age"}, f"{page}: {line}"


# --- generated pages ----------------------------------------------------------------------------------------------


def test_the_reference_is_what_the_code_says(database_url):
    for name, text in pages(database_url).items():
        assert (FOLDER / name).read_text(encoding="utf-8") == text, f"{name} is old: python -m docs.reference"


def test_every_stat_is_explained_and_no_other():
    assert stats_in_code() == set(STATS)


def test_every_table_says_what_it_is_for(database_url):
    with psycopg.connect(database_url) as connection:
        silent = connection.execute(
            """
            SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE n.nspname IN ('public', 'ml') AND c.relkind IN ('r', 'v') AND c.relname !~ '^_?yoyo'
              AND obj_description(c.oid, 'pg_class') IS NULL
            """
        ).fetchall()
    assert silent == []


# --- how to add something -----------------------------------------------------------------------------------------


def test_there_are_quotes():
    assert len(QUOTES) >= 5


@pytest.mark.parametrize(("path", "quote"), QUOTES, ids=lambda text: text if "/" in text[:40] else "")
def test_quotes_are_quotes(path, quote):
    assert quote in (ROOT / path).read_text(encoding="utf-8")


def module_of(name, tmp_path, monkeypatch):
    """An example as a module."""
    path = tmp_path / name
    path.write_text(EXAMPLES[name], encoding="utf-8")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, path.stem, module)
    spec.loader.exec_module(module)
    return module


def test_every_example_is_run_here():
    assert set(EXAMPLES) == {"weekly_charts.py", "test_crawl_example.py", "coverart.py", "files.py"}


def test_the_spider_of_the_example_crawls(project, tmp_path):
    (tmp_path / "weekly_charts.py").write_text(EXAMPLES["weekly_charts.py"], encoding="utf-8")
    project.environment["PYTHONPATH"] = os.pathsep.join([str(tmp_path), str(ROOT)])
    with serve(demo_world(20), Faults()) as sandbox:
        project.url = sandbox.url
        for asked in (1, 0):
            before = len(sandbox.log)
            done = project.crawl("weekly_charts", users="RJ", settings={"SPIDER_MODULES": "weekly_charts"})
            assert done.returncode == 0, done.stderr
            assert len(sandbox.log) - before == asked
    assert project.query("SELECT method, status FROM fetches") == [("user.getWeeklyChartList", "ok")]


def test_the_test_of_the_example_passes(tmp_path):
    (tmp_path / "test_crawl_example.py").write_text(EXAMPLES["test_crawl_example.py"], encoding="utf-8")
    (tmp_path / "conftest.py").write_text((ROOT / "tests" / "conftest.py").read_text(encoding="utf-8").replace(
        "Path(__file__).parent.parent", f"Path({str(ROOT)!r})"
    ), encoding="utf-8")  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:twisted", str(tmp_path)],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"},
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout


def test_the_service_of_the_example_reads_answers(tmp_path, monkeypatch):
    example = module_of("coverart.py", tmp_path, monkeypatch)
    call = example.Call("b84ee12a-09ef-421b-82de-0441a926375b")
    service = example.SERVICE
    assert call.url("https://coverartarchive.org") == f"https://coverartarchive.org/release/{call.mbid}"
    assert call.store_key == f"requests/coverart/release/mbid={call.mbid}.json.gz"
    assert service.call_of(call.method, call.all_params) == call
    assert service.read(call, 200, b'{"images": [{}, {}]}').pictures == 2
    gone = service.read(call, 404, b"")
    assert isinstance(gone, Problem)
    assert gone.lasting
    assert service.mark(call, gone).status == "not_found"
    for status, action in ((503, Action.SLOW_DOWN), (500, Action.RETRY), (200, Action.RETRY)):
        assert service.read(call, status, b"<html>").rule.action is action
    assert service.time_to_live(call, gone)
    assert service.time_to_live(call, service.read(call, 200, b'{"images": []}')) is None


def test_the_sink_of_the_example_has_what_the_warehouse_has(tmp_path, database_url, monkeypatch):
    example = module_of("files.py", tmp_path, monkeypatch)
    database = Database(database_url, tmp_path / "postgres")
    database.open()
    sink = example.FileSink(tmp_path / "rows")
    feeder = Feeder(database, sink)
    feeder.register()
    for names in (["Björk", "Pixies"], ["Pixies"]):
        page = TopArtistsPage(
            method="user.getTopArtists", user="a/B", params="limit=2,period=overall", period="overall",
            fetched_at=1_700_000_000.0 - len(names), received=len(names), ranks=range(1, len(names) + 1), names=names,
            playcounts=[5] * len(names),
        )  # fmt: skip
        database.run(PostgresSink().load, [page])
        feeder.drain()
        lines = (tmp_path / "rows/artists/a%2FB.ndjson").read_text(encoding="utf-8").splitlines()
        assert [name in line for name, line in zip(names, lines, strict=True)] == [True] * len(names)
    feeder.close()
    database.close()


# --- settings -----------------------------------------------------------------------------------------------------


def test_environment_variables_that_are_named_exist():
    """What a page sets is a setting of ours, of Scrapy, or a secret."""
    known = set(get_project_settings()) | {"EMULATORS", "PYTHONPATH", "PATH"}
    from lastfm_crawl import config  # noqa: PLC0415

    known |= set(config.SECRETS)
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        named = SimpleNamespace(found=re.findall(r"^\s*([A-Z][A-Z_]{3,})=", text, re.MULTILINE))
        assert set(named.found) <= known, f"{name_of(page)}: {set(named.found) - known}"
