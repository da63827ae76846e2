"""What the fans of an artist like besides."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scrapy.commands import ScrapyCommand
from scrapy.exceptions import UsageError

from lastfm_crawl.commands import answers
from lastfm_crawl.commands.ours import OurCommand, read_option
from lastfm_crawl.insight.fans import MIN_FANS, liked_by_fans
from lastfm_crawl.insight.named import look_up
from lastfm_crawl.spiders.arguments import count
from lastfm_crawl.stop import CommandError, Exit

if TYPE_CHECKING:
    import argparse

    import psycopg

    from lastfm_crawl.insight.fans import Fans
    from lastfm_crawl.insight.named import Named


class Command(OurCommand, ScrapyCommand):
    interrupted = "interrupted"

    def syntax(self) -> str:
        return "[options] <artist>"

    def short_desc(self) -> str:
        return "Show what the fans of an artist like besides"

    def long_desc(self) -> str:
        return (
            "Artists whom those who listen to one like more than others do: how many of the fans, how many times as"
            " often as everybody (lift), and a score that trusts a lift the more the more fans it comes from."
        )

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        super().add_options(parser)
        answers.add_options(parser)
        parser.add_argument(
            "--min-fans", default=str(MIN_FANS), metavar="N", help=f"fans in common at least (default: {MIN_FANS})"
        )

    def work(self, args: list[str], opts: argparse.Namespace) -> None:
        if len(args) != 1:
            raise UsageError("name one artist")
        (name,) = answers.checked(args)
        kind, limit = answers.format_of(opts.format), read_option(count, "--limit", opts.limit)
        _show(self._fans(name, limit, read_option(count, "--min-fans", opts.min_fans)), kind)

    def _fans(self, name: str, limit: int, least: int) -> Fans:
        def ask(connection: psycopg.Connection) -> tuple[Named, Fans | None]:
            named = look_up(connection, [name])
            return named, liked_by_fans(connection, named.chosen[0], limit, least) if named.chosen else None

        named, fans = answers.answer(self, ask)
        answers.say_unsure(self, named)
        if fans is None or not fans.fans:
            raise CommandError(Exit.WRONG_USE, "no such artist is in anybody's list")
        if not fans.liked:
            raise CommandError(
                Exit.COMPLETE, f"{fans.artist} has {fans.fans:,} listeners; no {least} of them share another artist"
            )
        return fans


def _show(fans: Fans, kind: str) -> None:
    if kind == "json":
        answers.show_json({**fans._asdict(), "liked": [one._asdict() for one in fans.liked]})
    elif kind == "csv":
        answers.show_csv(("artist", "fans", "share", "lift", "score"), fans.liked)
    else:
        answers.show_table(
            f"Liked by the fans of {fans.artist} ({fans.fans:,} of {fans.users:,} users)",
            ("artist", "#fans", "#share", "#lift", "#score"),
            [
                (one.name, f"{one.fans:,}", f"{one.share:.1%}", f"{one.lift:.2f}", f"{one.score:.3f}")
                for one in fans.liked
            ],
        )
