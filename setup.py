"""The egg that scrapyd-deploy sends to Scrapyd. For nothing else: the project is run from its folder, not installed."""

from setuptools import find_packages, setup

from lastfm_crawl import __version__

setup(
    name="lastfm_crawl",
    version=__version__,
    packages=find_packages(include=["lastfm_crawl", "lastfm_crawl.*"]),
    package_data={"": ["*.json", "*.css", "*.js", "migrations/*.sql"]},  # whatever is no Python file
    entry_points={"scrapy": ["settings = lastfm_crawl.settings"]},
)
