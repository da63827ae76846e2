"""Writes the pages of ``docs/reference/`` from the code: ``python -m docs.reference``. A test says when."""

from __future__ import annotations

import argparse
import ast
import inspect
import re
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import psycopg
from scrapy.commands import ScrapyCommand
from scrapy.spiderloader import SpiderLoader
from scrapy.utils.misc import walk_modules_iter
from scrapy.utils.project import get_project_settings

from lastfm_crawl import config
from lastfm_crawl.reference import SECTIONS
from lastfm_crawl.reference import settings as read_settings
from lastfm_crawl.warehouse.embedded import EmbeddedPostgres
from lastfm_crawl.warehouse.migrate import migrate

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from lastfm_crawl.spiders.base import ServiceSpider

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "docs" / "reference"

SECRET_TEXTS = {
    "LASTFM_API_KEY": "of your API account; every spider of Last.fm needs it",
    "LASTFM_API_SECRET": "stands beside the key; only for `scrapy lastfm login`",
    "SPOTIFY_CLIENT_SECRET": "of your app, with `SPOTIFY_CLIENT_ID`",
    "AOTY_PROXY_URL": "a proxy for the pages of albumoftheyear.org; its address may hold a user and a password",
    "SCRAPYD_USERNAME": "for `scrapy schedule`, where Scrapyd asks for a login",
    "SCRAPYD_PASSWORD": "the same",
}

#: What each stat of a run counts; ``{}`` stands for what is filled in. (Scrapy's own are in Scrapy's documentation.)
STATS = {
    "httpcache/hit": "answers that the store had",
    "httpcache/miss": "questions that it had no answer to",
    "httpcache/store": "answers that were stored",
    "httpcache/store_error": "answers that the store did not take; they are in the spool",
    "httpcache/corrupt": "stored answers that could not be read, and were asked for again",
    "httpcache/ignore": "questions that were not asked because a run was to be offline",
    "lastfm_crawl/asked/{}": "requests that went out, by method, retries included",
    "lastfm_crawl/received/{}": "answers that were good, by method",
    "lastfm_crawl/problem/{}": "answers that were not, by kind: error_8, http_503, wrong_user",
    "lastfm_crawl/failed_answers": "answers that were not, in all",
    "lastfm_crawl/retries": "requests that were made again",
    "lastfm_crawl/confirmations": 'second questions, before "no such user" is believed',
    "lastfm_crawl/no_profile_page": "users whom the API was not asked about, since the site has no page of them",
    "lastfm_crawl/split_pages": "pages that failed whole and were asked for in halves",
    "lastfm_crawl/lost": "pages that were given up",
    "lastfm_crawl/errors/{}": "first-hand answers that were errors, and failed downloads, by kind",
    "lastfm_crawl/pace_ms": "milliseconds that requests waited for their turn",
    "lastfm_crawl/alarms": "what monitors found, in a line each",
    "lastfm_crawl/logins_ended": "sessions that Last.fm did not take any more",
    "lastfm_crawl/fresh/{}": "of first-hand answers, by method: pages, bytes, rows, rows skipped by reason, and rows "
    "that have each field",
    "lastfm_crawl/pages": "pages that were parsed",
    "lastfm_crawl/pages_loaded": "pages that are in the warehouse; less than parsed is a loss",
    "lastfm_crawl/not_loaded": "pages that did not get there; the store has them",
    "lastfm_crawl/skipped/{}": "rows that were not stored, by reason",
    "lastfm_crawl/item_errors": "items that a pipeline failed on",
    "lastfm_crawl/batches": "transactions that loaded pages",
    "lastfm_crawl/batch_ms": "milliseconds that they took, together",
    "lastfm_crawl/batch_ms_max": "and the longest of them",
    "lastfm_crawl/artists_looked_up": "names of artists that were looked for in the catalogue",
    "lastfm_crawl/artists_matched": "those whose match is believed",
    "lastfm_crawl/scrobbles_{}": "plays that users changed since they were stored: gone, edited",
    "lastfm_crawl/unsteady_windows": "windows of histories that kept changing while they were read",
    "lastfm_crawl/drifted": "pages of albumoftheyear.org without a score where scores are known to be",
    "lastfm_crawl/bad_objects": "stored objects that a replay could not read",
    "lastfm_crawl/sent/{}": "rows that a sink was sent",
    "lastfm_crawl/not_sent": "lists of users that a sink did not take",
    "lastfm_crawl/stopped": "why a run was stopped, in one line",
}


def commands() -> str:
    """Every command of ours, with its options."""
    parts = ["What `scrapy COMMAND -h` says, without the options that all of Scrapy's commands have."]
    for name, command in sorted(_commands()):
        parts += [
            f"## {name}",
            f"`scrapy {name} {command.syntax()}`".replace(" `", "`"),
            _sentence(command.short_desc()),
        ]
        if (long := command.long_desc()) != command.short_desc():
            parts.append(long)
        if rows := list(_options(command)):
            parts.append(_table(("option", "meaning"), rows))
    return _page("Commands", parts)


def _commands() -> Iterator[tuple[str, ScrapyCommand]]:
    settings = get_project_settings()
    for module in walk_modules_iter("lastfm_crawl.commands"):
        for _, found in inspect.getmembers(module, inspect.isclass):
            if issubclass(found, ScrapyCommand) and found.__module__ == module.__name__:
                command = found()
                command.settings = settings
                yield module.__name__.rpartition(".")[2], command


def _options(command: ScrapyCommand) -> Iterator[tuple[str, str]]:
    """Options and sub-commands, without those of every command of Scrapy."""
    common = argparse.ArgumentParser()
    ScrapyCommand.add_options(command, common)
    known = {option for action in common._actions for option in action.option_strings}  # noqa: SLF001
    parser = argparse.ArgumentParser()
    command.add_options(parser)
    for action in parser._actions:  # noqa: SLF001  (argparse has no public way to list them)
        if action.option_strings and not known.intersection(action.option_strings):
            names = ", ".join(action.option_strings)
            value = f" {action.metavar or (action.dest.upper() if action.nargs != 0 else '')}".rstrip()
            yield f"`{names}{value}`", action.help or ""


def spiders() -> str:
    """Every spider, with its arguments."""
    loader = SpiderLoader.from_settings(get_project_settings())
    parts = [
        "All are run by `scrapy crawl NAME -a argument=value`. Every one also takes `max_age` (days): older answers "
        "are asked for again, and the old ones move to the archive."
    ]
    for name in sorted(loader.list()):
        spider = cast("type[ServiceSpider]", loader.load(name))
        module = inspect.getmodule(spider)
        parts += [f"## {name}", _sentence((module.__doc__ or "").partition("\n\n")[0]), inspect.getdoc(spider) or ""]
        rows = [
            (f"`{argument}`", "required" if a.required else "none" if a.default is None else f"`{_shown(a.default)}`")
            for argument, a in spider.arguments.items()
        ]
        parts.append(_table(("argument", "default"), rows))
        parts.append(
            "Answers: "
            + ", ".join(f"`{m}`" for m in spider.methods)
            + ". Needs: "
            + (", ".join(f"`{n}`" for n in spider.needs) or "nothing")
            + "."
        )
    return _page("Spiders", parts)


def _shown(value: Any) -> str:
    return str(int(value)) if isinstance(value, bool) else str(value)


def settings() -> str:
    """Every setting of ours, and the secrets."""
    parts = [
        "Environment variables, also from `.env` beside `scrapy.cfg` ([.env.example](../../.env.example)); "
        "`-s NAME=value` wins over both, and is the only way to change what has no ✓ below. `scrapy config` shows "
        "which value is in force and where it comes from. All others are Scrapy's own; of these, `LOG_LEVEL` and "
        "`LOG_FORMAT` (`json`: an object a line) are read from the environment, too.",
    ]
    for section in SECTIONS:
        rows = [
            (f"`{s.name}`", f"`{s.default}`" if s.default else "none", "✓" if s.from_environment else "", s.comment)
            for s in read_settings()
            if s.section == section
        ]
        parts += [f"## {section.capitalize()}", _table(("setting", "default", "environment", "meaning"), rows)]
    secrets = [(f"`{name}`", SECRET_TEXTS[name]) for name in (*config.SECRETS, *config.LOGINS)]
    parts += [
        "## Secrets",
        "Only from the environment or `.env`, never by `-s` or `-a`, which show in the process list. A value may be "
        "`sm://project/secret` (Google Secret Manager), but for Scrapyd's.",
        _table(("secret", "meaning"), secrets),
    ]
    return _page("Settings", parts)


def stats() -> str:
    """Every stat that the code counts."""
    rows = [(f"`{name.replace('{}', '…')}`", meaning) for name, meaning in STATS.items()]
    return _page(
        "Stats",
        [
            "What a run counts, beside Scrapy's own stats: in the log at its end, in `runs.stats`, and in "
            "`state/runs/{run_id}.json`.",
            _table(("stat", "meaning"), rows),
        ],
    )


def stats_in_code() -> set[str]:
    """The names of all stats that the code sets, with ``{}`` for what is filled in."""
    found = set()
    for path in (ROOT / "lastfm_crawl").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.add(node.value)
            elif isinstance(node, ast.JoinedStr):
                found.add("".join(str(p.value) if isinstance(p, ast.Constant) else "{}" for p in node.values))
    named = {f"{name}{{}}" if name.endswith("/") else name for name in found}  # a beginning that others complete
    shape = re.compile(r"(httpcache|lastfm_crawl)/\w*[^\W_](/{})?|lastfm_crawl/\w+_{}")
    return {name for name in named if shape.fullmatch(name)}


def tables(conninfo: str) -> str:
    """Every table and view of the warehouse at *conninfo*, views for readers first."""
    parts = ["Read the views; tables are what they are made of. Times are those of the stored answers, in UTC."]
    with psycopg.connect(conninfo) as connection:
        rows = connection.execute(
            """
            SELECT c.oid, CASE WHEN n.nspname = 'public' THEN '' ELSE n.nspname || '.' END || c.relname,
                   c.relkind = 'v', obj_description(c.oid, 'pg_class')
            FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE n.nspname IN ('public', 'ml') AND c.relkind IN ('r', 'v') AND c.relname !~ '^_?yoyo'
            ORDER BY n.nspname = 'ml', c.relkind = 'r', c.relname !~ '^lastfm_', 2
            """
        ).fetchall()
        for oid, name, is_view, comment in rows:
            columns = connection.execute(
                """
                SELECT '`' || attname || '`', format_type(atttypid, atttypmod),
                       coalesce(col_description(attrelid, attnum), '')
                FROM pg_attribute WHERE attrelid = %s AND attnum > 0 AND NOT attisdropped ORDER BY attnum
                """,
                [oid],
            ).fetchall()
            parts += [
                f"## {name}",
                ("View. " if is_view else "") + (comment or ""),
                _table(("column", "type", ""), columns),
            ]
    return _page("Tables and views", parts)


def _sentence(text: str) -> str:
    return text if text.endswith(".") else f"{text}."


def _table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in line) + " |" for line in lines
    )


def _page(title: str, parts: Sequence[str]) -> str:
    return "\n\n".join([f"# {title}", "Generated by `python -m docs.reference`.", *filter(None, parts)]) + "\n"


def pages(conninfo: str) -> dict[str, str]:
    """All pages by the names of their files."""
    return {
        "commands.md": commands(),
        "settings.md": settings(),
        "spiders.md": spiders(),
        "stats.md": stats(),
        "tables.md": tables(conninfo),
    }


def main() -> None:
    """Write what the code says now."""
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        server = EmbeddedPostgres(Path(folder, "server"))
        try:
            conninfo = server.start()
            migrate(conninfo)
            for name, text in pages(conninfo).items():
                (FOLDER / name).write_text(text, encoding="utf-8")
        finally:
            server.remove()
    sys.stdout.write(f"{FOLDER.relative_to(ROOT)} is written\n")


if __name__ == "__main__":
    main()
