"""What our commands have in common: the warehouse, and that each ends with an exit code and one line that says why."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar

import psycopg
from rich.console import Console

from lastfm_crawl import config
from lastfm_crawl.extensions.json_log import tell
from lastfm_crawl.httpcache import open_store
from lastfm_crawl.insight.wording import printable
from lastfm_crawl.spiders.arguments import names
from lastfm_crawl.stop import CommandError, Exit
from lastfm_crawl.warehouse.database import Database, WarehouseUnavailableError, check_url

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

    from scrapy.settings import BaseSettings

T = TypeVar("T")
#: What to do about a secret or setting that a spider needs.
WHERE_TO_GET = {
    "LASTFM_API_KEY": "get a key at https://www.last.fm/api/account/create",
    "LASTFM_API_SECRET": "it stands beside the key at https://www.last.fm/api/accounts",
    "SPOTIFY_CLIENT_ID": "create an app at https://developer.spotify.com/dashboard",
    "SPOTIFY_CLIENT_SECRET": "create an app at https://developer.spotify.com/dashboard",
    "CONTACT": "whoever is asked wants to know whom to write to: a mail address or URL of yours",
}


class OurCommand:
    """To be named before ScrapyCommand, and not derived from it: what is, Scrapy takes for a command."""

    requires_project = True
    requires_crawler_process = False
    exitcode: int = 0
    settings: Any  # Settings, which Scrapy sets before run
    #: What is said when somebody interrupts it.
    interrupted = "interrupted; run it again to go on"

    def run(self, args: list[str], opts: argparse.Namespace) -> None:
        """Scrapy's entry."""
        try:
            self.work(args, opts)
            sys.stdout.flush()
        except CommandError as exc:
            self.end(exc.code, str(exc))
        except ValueError as exc:
            self.end(Exit.WRONG_USE, str(exc))
        except WarehouseUnavailableError as exc:
            self.end(Exit.CRITICAL, f"the warehouse cannot be used: {exc}")
        except psycopg.Error as exc:
            self.end(Exit.CRITICAL, f"the warehouse cannot be used: {' '.join(str(exc).split())}")
        except BrokenPipeError:  # head, or less that was left: Python would complain once more at its end
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        except OSError as exc:  # the store's errors, too
            self.end(Exit.CRITICAL, f"{exc.filename} cannot be used: {exc.strerror}" if exc.filename else str(exc))
        except KeyboardInterrupt:
            self.end(Exit.RESUMABLE, self.interrupted)

    def work(self, args: list[str], opts: argparse.Namespace) -> None:
        """What the command does. Raises UsageError for arguments that are not its own, ValueError for wrong ones."""
        raise NotImplementedError

    @contextmanager
    def warehouse(self) -> Iterator[Database]:
        """The warehouse of the settings, which somebody has to open, closed after the block."""
        database = Database(self.settings["DATABASE_URL"], config.database_folder(self.settings))
        try:
            yield database
        finally:
            database.close()

    def say(self, line: str) -> None:
        """*line* beside the answer of the command."""
        tell(type(self).__module__.rpartition(".")[2], [printable(line)])

    def end(self, code: Exit, line: str) -> None:
        """The exit code, and why."""
        self.exitcode = int(code)
        self.say(line)


def confirm(name: str, phrase: str | None, what: str) -> None:
    """Have the *name* of what goes for good typed, unless it was given as *phrase*. Raises ValueError if it is not."""
    if phrase is None and sys.stdin.isatty():
        print(f"{what} There is no way back.")
        with suppress(EOFError):
            phrase = input(f"Type {name} to confirm: ")
    if phrase is None:
        raise ValueError(f"{what} This wants to be confirmed: on a terminal, or with --confirm {name!r}")
    if phrase.strip() != name:
        raise ValueError(f"nothing was done: {phrase!r} is not {name!r}")


def open_console() -> Console:
    """The terminal; a file or a pipe has no width, so that nothing is folded or cut there."""
    return Console(highlight=False, markup=False, width=None if sys.stdout.isatty() else 10_000)


def check_settings(settings: BaseSettings) -> None:
    """Raise ValueError, one line, for settings with which nothing can be started: it is said before anything is."""
    config.check(settings)
    open_store(config.store_location(settings))
    for name in ("DATABASE_URL", "MUSICBRAINZ_DATABASE_URL"):
        if settings[name]:
            check_url(settings[name], name)


def not_set(name: str) -> str:
    """What to say where a secret or setting that is needed has no value."""
    return f"{name} is not set: {WHERE_TO_GET[name]}; put it into the environment or .env"


def read_option(read: Callable[[str], T], option: str, text: str) -> T:
    """What *read* makes of *text*. Raises ValueError, one line that names the *option*."""
    try:
        return read(text)
    except ValueError as exc:
        raise ValueError(f"{option}: {text!r} is wrong: {exc}") from None


def one_user(text: str) -> str:
    """The user whom *text* names. Raises ValueError when these are several."""
    user, *others = names(text)
    if others:
        raise ValueError(f"{text!r} names more than one user")
    return user
