"""Users with the same taste: who share some of a few artists, or are like one user."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from scrapy.commands import ScrapyCommand
from scrapy.exceptions import UsageError

from lastfm_crawl.commands import answers
from lastfm_crawl.commands.ours import OurCommand, read_option
from lastfm_crawl.insight.named import look_up
from lastfm_crawl.insight.similar import share, similar_to
from lastfm_crawl.spiders.arguments import count
from lastfm_crawl.stop import CommandError, Exit

if TYPE_CHECKING:
    import argparse

    import psycopg

    from lastfm_crawl.insight.named import Named
    from lastfm_crawl.insight.similar import SimilarUser


class Command(OurCommand, ScrapyCommand):
    interrupted = "interrupted"

    def syntax(self) -> str:
        return '--artists "A,B,C" | --user NAME'

    def short_desc(self) -> str:
        return "Show which users share some artists, or the taste of a user"

    def long_desc(self) -> str:
        return (
            "With --artists: users who listen to at least --min-shared of them, and what else they play. With --user:"
            " users whose lists are most like that user's. Names need not be exact; doubtful ones are asked back."
        )

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        super().add_options(parser)
        answers.add_options(parser)
        group = parser.add_argument_group("Similar users")
        group.add_argument("--artists", metavar="A,B,C", help="names, or @FILE with one a line (for names with commas)")
        group.add_argument("--user", metavar="NAME", help="whose taste is compared")
        group.add_argument("--min-shared", default="3", metavar="N", help="artists in common at least (default: 3)")

    def work(self, args: list[str], opts: argparse.Namespace) -> None:
        if args or bool(opts.artists) == bool(opts.user):
            raise UsageError(f"say: scrapy similar {self.syntax()}")
        kind, limit = answers.format_of(opts.format), read_option(count, "--limit", opts.limit)
        least = read_option(count, "--min-shared", opts.min_shared)
        if opts.user:
            title, users = self._like(opts.user, least, limit)
        else:
            title, users = self._sharing(answers.names("--artists", opts.artists), least, limit)
        _show(title, users, kind)

    def _like(self, user: str, least: int, limit: int) -> tuple[str, list[SimilarUser]]:
        (user,) = answers.checked([user])
        users = answers.answer(self, lambda connection: similar_to(connection, user, least, limit))
        if users is None:
            raise CommandError(
                Exit.WRONG_USE,
                f"no artists of a user {user!r} are stored; run scrapy crawl top_artists -a users={user}",
            )
        if not users:
            raise CommandError(Exit.COMPLETE, f"nobody has {least} artists in common with {user}")
        return f"Users with the taste of {user}", users

    def _sharing(self, names: list[str], least: int, limit: int) -> tuple[str, list[SimilarUser]]:
        def ask(connection: psycopg.Connection) -> tuple[Named, list[SimilarUser]]:
            named = look_up(connection, names)
            return named, share(connection, named.chosen, least, limit)

        named, users = answers.answer(self, ask)
        answers.say_unsure(self, named)
        if not named.chosen:
            raise CommandError(Exit.WRONG_USE, "none of these artists is in anybody's list")
        if len(named.chosen) < least:
            raise CommandError(
                Exit.WRONG_USE, f"nobody can share {least} of {len(named.chosen)} artists; say --min-shared"
            )
        if not users:
            raise CommandError(Exit.COMPLETE, f"nobody listens to {least} of these {len(named.chosen)} artists")
        return f"Users who share {least} or more of: {', '.join(artist.name for artist in named.chosen)}", users


def _show(title: str, users: list[SimilarUser], kind: str) -> None:
    scored = users[0].score is not None
    if kind == "json":
        answers.show_json([asdict(user) for user in users])
    elif kind == "csv":
        answers.show_csv(
            ("user", "playcount", "score", "shared", "shared_artists", "other_artists"),
            [
                (
                    user.user, user.playcount, "" if user.score is None else user.score, len(user.shared),
                    "; ".join(user.shared), "; ".join(other.name for other in user.others),
                )
                for user in users
            ],
        )  # fmt: skip
    else:
        answers.show_table(
            title,
            ("user", *(("#score",) if scored else ()), "#shared", "in common", "also plays"),
            [
                (
                    user.user, *((f"{user.score:.3f}",) if user.score is not None else ()), str(len(user.shared)),
                    _some(user.shared), ", ".join(f"{other.name} ({other.playcount:,})" for other in user.others[:5]),
                )
                for user in users
            ],
        )  # fmt: skip


def _some(names: tuple[str, ...], most: int = 5) -> str:
    """The first *most* of *names*, and how many more there are."""
    left = len(names) - most
    return ", ".join(names[:most]) + (f" and {left:,} more" if left > 0 else "")
