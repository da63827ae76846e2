"""The spider that one would write first: the same pages, json.loads, one item each; it keeps nothing."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from scrapy import Request, Spider
from scrapy.crawler import AsyncCrawlerProcess

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from scrapy.http import Response

TUNED = {"WARN_ON_GENERATOR_RETURN_VALUE": False, "CONCURRENT_ITEMS": 1}


class BareSpider(Spider):
    """Scrapy as it comes."""

    name = "bare"

    def __init__(self, urls: list[str]) -> None:
        super().__init__()
        self.urls = urls

    async def start(self) -> AsyncIterator[Request]:
        """Every URL."""
        for url in self.urls:
            yield Request(url, dont_filter=True)

    def parse(self, response: Response, **_: Any) -> Any:
        """Parse; one item a page."""
        yield json.loads(response.body)


def main(api: str, method: str, users: int, settings: dict[str, Any]) -> None:
    """Crawl and print the seconds that it took."""
    limit = {"user.getFriends": 500, "user.getTopArtists": 1000}[method]
    period = "&period=overall" if method == "user.getTopArtists" else ""
    urls = [f"{api}?format=json&limit={limit}&method={method}&page=1{period}&user=u{n}" for n in range(users)]
    common = {
        "LOG_LEVEL": "ERROR",
        "CONCURRENT_REQUESTS": 16,
        "CONCURRENT_REQUESTS_PER_DOMAIN": 16,
        "DOWNLOAD_DELAY": 0,
    }
    process = AsyncCrawlerProcess({**common, **settings})
    crawler = process.create_crawler(BareSpider)
    process.crawl(crawler, urls=urls)
    process.start()
    stats = crawler.stats.get_stats()
    assert stats["response_received_count"] == users, stats
    print(stats["elapsed_time_seconds"])


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), TUNED if sys.argv[4:] == ["tuned"] else {})
