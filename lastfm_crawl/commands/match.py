"""Matches what is in the warehouse against the whole catalogue."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.table import Table
from scrapy.commands import ScrapyCommand
from scrapy.exceptions import UsageError

from lastfm_crawl.commands.ours import OurCommand, open_console
from lastfm_crawl.commands.working import working
from lastfm_crawl.warehouse import aoty_matches, artist_matches, matches, track_matches

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    import psycopg

    from lastfm_crawl.warehouse.database import Database


class Command(OurCommand, ScrapyCommand):
    def short_desc(self) -> str:
        return "Match artists and tracks with the imported catalogue, typos included"

    def long_desc(self) -> str:
        return (
            "Looks for what was never looked for, and again for what has no sure match since the catalogue or the"
            " normalisation changed. Nothing is asked of anybody: `scrapy crawl spotify_artists` and spotify_tracks do."
        )

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        super().add_options(parser)
        parser.add_argument("--again", action="store_true", help="look for everything again, sure matches included")

    def work(self, args: list[str], opts: argparse.Namespace) -> None:
        if args:
            raise UsageError("match takes no arguments but --again")
        with self.warehouse() as database:
            database.open()
            looked = [self._artists(database, again=opts.again), self._tracks(database, again=opts.again)]
            self._ratings(database)
            self._tell(database, looked=any(looked))

    def _artists(self, database: Database, *, again: bool) -> bool:
        """Match the artists; False when there is no catalogue to look in."""
        version = database.run(matches.catalogue_version, "artists")
        left = database.run(matches.left_to_match, "artist", version, again=again) if version else []
        if left:
            index = database.run(artist_matches.whole_index)
            with working("matching artists", len(left)) as advance:
                for begin in range(0, len(left), matches.CHUNK):
                    chunk = left[begin : begin + matches.CHUNK]
                    database.run(_match_artists, index, chunk, version)
                    advance(len(chunk))
        return bool(version)

    def _tracks(self, database: Database, *, again: bool) -> bool:
        """Match the tracks; False when there is no catalogue to look in."""
        version = database.run(matches.catalogue_version, "tracks")
        left = database.run(matches.left_to_match, "track", version, again=again) if version else []
        if left:
            whole = database.run(track_matches.whole_tracks)
            with working("matching tracks", len(left)) as advance:
                for begin in range(0, len(left), track_matches.CHUNK):
                    chunk = left[begin : begin + track_matches.CHUNK]
                    database.run(_match_tracks, whole, chunk, version)
                    advance(len(chunk))
        return bool(version)

    @staticmethod
    def _ratings(database: Database) -> None:
        """Match albums and tracks with those of albumoftheyear.org, all of them: what is known there has grown."""
        if not database.run(aoty_matches.known):
            return
        with working("matching rated albums and tracks") as advance:
            for work in (aoty_matches.match_albums_after, aoty_matches.match_tracks_after):
                ids: Sequence[int] = (0,)
                while ids:
                    ids = database.run(work, ids[-1])
                    advance(len(ids))

    def _tell(self, database: Database, *, looked: bool) -> None:
        if not looked:
            print("there is no catalogue yet: `scrapy catalog import FILE` brings one")
        console = open_console()
        table = Table(box=None, pad_edge=False, header_style="bold")
        for title in ("", "of", "accepted", "by", "to review", "share of plays"):
            table.add_column(title, justify="left" if title in {"", "by"} else "right", no_wrap=title != "by")
        for kind in ("artist", "track"):
            counts = database.run(matches.match_counts, kind)
            tiers = ", ".join(f"{count:,} {tier}" for tier, count in counts.tiers)
            share = f"{counts.plays_accepted / counts.plays:.1%}" if counts.plays else ""
            table.add_row(f"{kind}s", f"{counts.all:,}", f"{counts.accepted:,}", tiers, f"{counts.review:,}", share)
        console.print(table)


def _match_artists(connection: psycopg.Connection, index: Any, ids: Sequence[int], version: int) -> None:
    artists = artist_matches.artists_named(connection, ids)
    artist_matches.match_artists(connection, index, artists, catalogue=version)


def _match_tracks(connection: psycopg.Connection, whole: Any, ids: Sequence[int], version: int) -> None:
    track_matches.match_tracks(connection, whole, matches.tracks_named(connection, ids), catalogue=version)
