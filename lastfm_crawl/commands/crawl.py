"""Scrapy's ``crawl`` with exit codes that mean something, and one line for what is wrong."""

from __future__ import annotations

import gc
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scrapy.commands import crawl
from scrapy.exceptions import UsageError

from lastfm_crawl import config
from lastfm_crawl.commands.ours import WHERE_TO_GET, check_settings, not_set
from lastfm_crawl.extensions.alerts import never_begun
from lastfm_crawl.extensions.json_log import tell
from lastfm_crawl.extensions.outcome import judge
from lastfm_crawl.jobdir import JobDir
from lastfm_crawl.logins import Logins
from lastfm_crawl.secret_manager import SecretUnavailableError
from lastfm_crawl.stop import Exit

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from scrapy import Spider
    from scrapy.crawler import Crawler
    from scrapy.spiderloader import SpiderLoaderProtocol

logger = logging.getLogger(__name__)


class Command(crawl.Command):
    def short_desc(self) -> str:
        return "Run a spider; the exit code says whether everything arrived"

    def run(self, args: list[str], opts: argparse.Namespace) -> None:
        if len(args) != 1:
            raise UsageError("name one spider; `scrapy list` shows them")
        try:
            self._check(args[0], opts)
            assert self.crawler_process is not None  # noqa: S101  (Scrapy sets it before run)
            crawler = self.crawler_process.create_crawler(args[0])
            jobdir = self._enter_jobdir(crawler, opts)
        except ValueError as exc:
            self._end(Exit.WRONG_USE, [str(exc)])
            return
        except SecretUnavailableError as exc:
            self._end(exc.code, [str(exc)])
            return
        self.crawler_process.crawl(crawler, **opts.spargs)
        tune_interpreter()
        self.crawler_process.start()
        stats = {} if self.crawler_process.bootstrap_failed else crawler.stats.get_stats()
        if jobdir is not None:
            jobdir.leave(in_order="finish_reason" in stats)
        if self.crawler_process.bootstrap_failed:
            self._end(*never_begun(crawler.settings, args[0]))
        else:
            self._end(*judge(stats))

    def _check(self, spider: str, opts: argparse.Namespace) -> None:
        """Raise ValueError or SecretUnavailableError for what can be known to be wrong before anything is started."""
        assert self.settings is not None  # noqa: S101
        assert self.crawler_process is not None  # noqa: S101
        config.refuse_secrets([assignment.partition("=")[0] for assignment in opts.set] + list(opts.spargs))
        spider_class = load_spider(self.crawler_process.spider_loader, spider, opts.spargs)
        if not self.settings.getbool("HTTPCACHE_IGNORE_MISSING"):
            self._check_credentials(spider_class)
        check_settings(self.settings)

    def _check_credentials(self, spider_class: type[Spider]) -> None:
        """Raise ValueError or SecretUnavailableError when something is not there that the spider cannot ask without, or
        cannot be read.
        """
        assert self.settings is not None  # noqa: S101
        config.fetch_secrets()
        needed = spider_class.needed(self.settings) if hasattr(spider_class, "needed") else ()
        users = Logins(self.settings, "lastfm").users() if "LASTFM_API_KEY" in needed else []
        if users and not config.secret("LASTFM_API_SECRET"):
            raise ValueError(
                f"LASTFM_API_SECRET is not set, and {users[0]} is logged in: {WHERE_TO_GET['LASTFM_API_SECRET']};"
                f" or run `scrapy lastfm logout {users[0]}`"
            )
        if "SPOTIFY_CLIENT_ID" in needed:
            Logins(self.settings, "spotify").users()
        for name in needed:
            if not config.is_set(self.settings, name):
                raise ValueError(not_set(name))

    @staticmethod
    def _enter_jobdir(crawler: Crawler, opts: argparse.Namespace) -> JobDir | None:
        """The JOBDIR, taken for this run, when there is to be one (a spider may name its own). Raises ValueError."""
        folder = crawler.settings["JOBDIR"]
        if not folder:
            return None
        jobdir = JobDir(Path(folder), crawler.spidercls.name, opts.spargs)
        if line := jobdir.enter():
            logger.warning(line)
        return jobdir

    def _end(self, code: Exit, lines: list[str]) -> None:
        self.exitcode = int(code)
        tell("crawl", lines)
        if self.settings and self.settings["LOG_FILE"]:  # whoever reads a log, as Scrapyd's, sees no stderr
            for line in lines:
                logger.log(logging.ERROR if code else logging.INFO, line)


def find_spider(loader: SpiderLoaderProtocol, name: str) -> Any:
    """The class of the spider *name*. Raises ValueError, one line, when there is none."""
    try:
        return loader.load(name)
    except KeyError:
        raise ValueError(f"there is no spider {name!r}; there are {', '.join(sorted(loader.list()))}") from None


def load_spider(loader: SpiderLoaderProtocol, name: str, arguments: Mapping[str, str]) -> Any:
    """:func:`find_spider`, which takes these *arguments*. Raises ValueError, one line, when it does not."""
    spider_class = find_spider(loader, name)
    if hasattr(spider_class, "read"):
        spider_class.read(arguments)
    return spider_class


def tune_interpreter() -> None:
    """Settings of CPython for one busy event loop beside a few threads that mostly wait; each was measured."""
    # The collector would look again and again at the modules, which never go, and at pages, which hold no cycles.
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
    # Every read of a socket gives the interpreter away: 5 ms, the default, is longer than a page takes.
    sys.setswitchinterval(0.0005)
