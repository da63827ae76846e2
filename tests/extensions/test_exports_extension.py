"""The users in the store while a crawl runs, off unless it is asked for."""

from __future__ import annotations

import asyncio
import gzip
import json

import psycopg
import pytest
from doubles import crawler_with
from lists import list_artists
from scrapy.exceptions import NotConfigured

from lastfm_crawl.extensions.exports import Exports
from lastfm_crawl.httpcache import open_store
from lastfm_crawl.warehouse.database import Warehouse
from lastfm_crawl.warehouse.migrate import migrate


def test_off_by_default(tmp_path):
    with pytest.raises(NotConfigured):
        Exports(crawler_with(DATA_DIR=str(tmp_path)))


async def test_users_are_written_every_now_and_then_and_at_the_end(tmp_path, database_url):
    migrate(database_url)
    store = open_store(str(tmp_path / "store"))
    crawler = crawler_with(
        DATABASE_URL=database_url, DATA_DIR=str(tmp_path), RESPONSE_STORE=str(tmp_path / "store"), EXPORT_EVERY=0.05,
        EXTENSIONS_BASE={},
    )  # fmt: skip
    extension = Exports.from_crawler(crawler)

    def users():
        return [
            json.loads(line)["username"]
            for key in store.keys("exports/lastfm_users_")
            for line in gzip.decompress(store.get(key)).splitlines()
        ]

    with psycopg.connect(database_url) as connection:
        list_artists(connection, {"Ann": []})
        await extension.spider_opened()
        for _ in range(200):
            await asyncio.sleep(0.05)
            if users():
                break
        assert users() == ["Ann"]
        list_artists(connection, {"Bob": []})
    await extension.spider_closed()
    assert sorted(users()) == ["Ann", "Bob"]
    await extension._warehouse.close()
    await Warehouse.of(crawler).close()
