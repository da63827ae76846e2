"""Scrapy commands, one a module."""

import logging
import os

from lastfm_crawl.extensions import json_log

if os.environ.get("LOG_FORMAT") == "json":
    # Scrapy opens no log for commands that run no crawler: only what is worth a warning is written, as always there.
    json_log.install(logging.StreamHandler(), logging.WARNING)
