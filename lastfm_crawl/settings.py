"""Every knob, with its default, its unit and who uses it.

The names under "ours" are read from the environment and from ``.env`` beside scrapy.cfg; ``-s NAME=value`` wins over
both. Secrets (``config.SECRETS``) are no settings: :func:`lastfm_crawl.config.secret` reads them from the environment
where they are needed, so that no log, record or ``scrapy settings`` can show them.
"""

import os

from dotenv import load_dotenv

from lastfm_crawl.config import env_file

if _file := env_file():
    load_dotenv(_file)

BOT_NAME = "lastfm_crawl"
SPIDER_MODULES = ["lastfm_crawl.spiders"]
NEWSPIDER_MODULE = "lastfm_crawl.spiders"
COMMANDS_MODULE = "lastfm_crawl.commands"
ADDONS = {
    "lastfm_crawl.config.ProjectAddon": 0,  # what some of these settings mean for others
    "lastfm_crawl.extensions.json_log.JsonLog": 1,
}

# --- ours ---------------------------------------------------------------------------------------------------------

# Base URL of the API, or of any stand-in. Used by the spiders and the signing handler.
LASTFM_API_URL = os.environ.get("LASTFM_API_URL", "https://ws.audioscrobbler.com/2.0/")
# The site, or any stand-in, which validate=head asks for profile pages. Used by the spiders that take users or seeds.
LASTFM_URL = os.environ.get("LASTFM_URL", "https://www.last.fm/")
# Base URL of Spotify's API.
SPOTIFY_API_URL = os.environ.get("SPOTIFY_API_URL", "https://api.spotify.com/v1")
# Where Spotify gives tokens.
SPOTIFY_TOKEN_URL = os.environ.get("SPOTIFY_TOKEN_URL", "https://accounts.spotify.com/api/token")
# The app in whose name Spotify is asked; its secret is no setting.
SPOTIFY_CLIENT_ID = os.environ.get("SPOTIFY_CLIENT_ID")
# Base URL of MusicBrainz's web service, which knows us by CONTACT alone.
MUSICBRAINZ_API_URL = os.environ.get("MUSICBRAINZ_API_URL", "https://musicbrainz.org/ws/2/")
# A mirror of MusicBrainz's database, asked instead of its web service: any libpq URL.
MUSICBRAINZ_DATABASE_URL = os.environ.get("MUSICBRAINZ_DATABASE_URL")
# Base URL of albumoftheyear.org.
AOTY_URL = os.environ.get("AOTY_URL", "https://www.albumoftheyear.org/")
# Mail address or URL put into the User-Agent, so that a service can reach whoever crawls it.
CONTACT = os.environ.get("CONTACT")
# Folder of the embedded defaults: store, warehouse, spool, logs of ingests, logins.
DATA_DIR = os.environ.get("DATA_DIR", "data")
# The response store: gs://bucket/prefix, a path or file:// URL; default {DATA_DIR}/store. Used by httpcache and the
# run record.
RESPONSE_STORE = os.environ.get("RESPONSE_STORE")
# The warehouse: any libpq URL; default an embedded PostgreSQL in {DATA_DIR}/postgres.
DATABASE_URL = os.environ.get("DATABASE_URL")
# A dataset of BigQuery (project.dataset) that is told what the warehouse's views say. Off by default. Used by the sink
# pipeline, sync, warehouse.
BIGQUERY_DATASET = os.environ.get("BIGQUERY_DATASET")
# The project of a Firestore that is told about users and their artists. Off by default. Used like BIGQUERY_DATASET.
FIRESTORE_PROJECT = os.environ.get("FIRESTORE_PROJECT")
# Megabytes of Last.fm's data that may be kept before runs warn; 0 = you have an agreement. Used by the storage cap.
LASTFM_STORAGE_CAP_MB = os.environ.get("LASTFM_STORAGE_CAP_MB", "100")
# Seconds between two writes of exports/lastfm_users_YYYYMMDD.json.gz while a crawl runs; 0 = none. Used by the exports
# extension.
EXPORT_EVERY = os.environ.get("EXPORT_EVERY", "0")
# POSTed one JSON object when a run stops on a critical fault. Used by the alert extension.
ALERT_WEBHOOK = os.environ.get("ALERT_WEBHOOK")
# Where Scrapyd listens. Used by scrapy schedule; name and password, where it asks for them, are SCRAPYD_USERNAME and
# SCRAPYD_PASSWORD in the environment.
SCRAPYD_URL = os.environ.get("SCRAPYD_URL", "http://localhost:6800/")
# A file for the textfile collector of Prometheus' node_exporter, such as /var/lib/node_exporter/%(spider)s.prom (which
# is a file a spider). None by default. Used by the metrics extension.
METRICS_FILE = os.environ.get("METRICS_FILE")
# POSTed each change of a fetch job, the JSON that PostgreSQL announces on the channel fetch_jobs. None by default. Used
# by the jobs extension.
JOB_WEBHOOK = os.environ.get("JOB_WEBHOOK")
# Seconds: the first pause after a transient error, doubled at every further one up to the second figure; the real
# pause is a random part of it ("full jitter"). Used by the error middleware.
BACKOFF_FIRST = 1.0
BACKOFF_MAX = 60.0
# Rows that are loaded in one transaction when pages come fast; 0 = 20,000 (a replay: 100,000). Used by the loader.
LOAD_BATCH_ROWS = 0
# Connections to the warehouse that load at once (a replay on four cores or more: 2). Used by the load pipeline.
LOAD_CONNECTIONS = 1
# Seconds between two plain progress lines where there is no terminal; also between two writes of state/progress.json
# and of METRICS_FILE.
PROGRESS_INTERVAL = 60.0
# Share (0 to 1) of requests that may bring an error, asked again with success or not, before a run exits with 1. Used,
# as the next three, by the monitors.
MONITOR_MAX_ERRORS = 0.25
# Share of rows that must have a name, and plays in the lists of what is played most, or a run exits with 1.
MONITOR_MIN_COVERAGE = 0.9
# Share of what earlier runs had (their median) of rows with a field; with less the field is lost, and a run exits with
# 1. 0 = no comparison.
MONITOR_LOST_FIELD = 0.1
# Rows of a method, in this run and in earlier ones, below which nothing is said of its fields.
MONITOR_MIN_ROWS = 1000

# --- pace ---------------------------------------------------------------------------------------------------------

DOWNLOAD_DELAY = 1.0  # seconds between requests of all runs on a warehouse; 0 = unpaced, but never below pace.FLOORS
DOWNLOAD_DELAY_JITTER = 0  # default 0.5 sends some requests after half the delay
CONCURRENT_REQUESTS = 4  # a graceful stop takes about this x the delay
CONCURRENT_REQUESTS_PER_DOMAIN = 64  # the total above is the limit
DOWNLOAD_TIMEOUT = 60  # seconds
AUTOTHROTTLE_ENABLED = True  # a slow answer slows us down, too
AUTOTHROTTLE_START_DELAY = 1.0  # default 5.0, also for every slot that is made again
ROBOTSTXT_OBEY = False  # an API has none to obey; spiders of pages set it to True

# --- the way of a response ----------------------------------------------------------------------------------------

DOWNLOAD_HANDLERS = {
    "http": "lastfm_crawl.downloader.handler.SigningHandler",
    "https": "lastfm_crawl.downloader.handler.SigningHandler",
}
# Answers travel from 950 to 900: decoded, then without whoever is forgotten, then judged, then stored, and only then
# used.
DOWNLOADER_MIDDLEWARES = {
    "lastfm_crawl.httpcache.middleware.AsyncHttpCacheMiddleware": 900,
    # Of spiders of pages: behind the store, for what is stored asks nobody.
    "scrapy.downloadermiddlewares.robotstxt.RobotsTxtMiddleware": 910,
    "lastfm_crawl.downloader.errors.ErrorMiddleware": 920,
    "lastfm_crawl.downloader.forgotten.ForgottenMiddleware": 930,
    "lastfm_crawl.downloader.compression.TolerantCompressionMiddleware": 950,
    "scrapy.downloadermiddlewares.httpcompression.HttpCompressionMiddleware": None,
    "scrapy.downloadermiddlewares.httpcache.HttpCacheMiddleware": None,  # ours does not stop the event loop
    "scrapy.downloadermiddlewares.retry.RetryMiddleware": None,  # the error middleware alone decides
    "scrapy.downloadermiddlewares.redirect.RedirectMiddleware": None,  # a Location may repeat the key
    "scrapy.downloadermiddlewares.redirect.MetaRefreshMiddleware": None,
    "scrapy.downloadermiddlewares.offsite.OffsiteMiddleware": None,  # an API has no links
    "scrapy.downloadermiddlewares.httpauth.HttpAuthMiddleware": None,  # keys are the signing handler's business
}
SPIDER_MIDDLEWARES = {
    "scrapy.spidermiddlewares.httperror.HttpErrorMiddleware": None,  # "no such user" is a result
    "scrapy.spidermiddlewares.depth.DepthMiddleware": None,  # depth here is friendships, not requests
    "scrapy.spidermiddlewares.urllength.UrlLengthMiddleware": None,  # our URLs are as long as we make them
    "scrapy.spidermiddlewares.metacopy.MetaCopyDetectionMiddleware": None,  # we make each meta ourselves
}
ITEM_PIPELINES = {
    "lastfm_crawl.pipelines.validate.ValidatePipeline": 100,
    "lastfm_crawl.pipelines.deduplicate.DeduplicatePipeline": 200,
    "lastfm_crawl.pipelines.match.MatchPipeline": 300,
    "lastfm_crawl.pipelines.load.LoadPipeline": 800,
    "lastfm_crawl.pipelines.sinks.SinkPipeline": 900,
}
EXTENSIONS = {
    "lastfm_crawl.extensions.run_record.RunRecord": 100,
    "lastfm_crawl.extensions.progress.Progress": 200,
    "lastfm_crawl.extensions.alerts.Alerts": 300,
    "lastfm_crawl.extensions.storage_cap.StorageCap": 400,
    "lastfm_crawl.extensions.exports.Exports": 500,
    "lastfm_crawl.extensions.monitors.Monitors": 600,
    "lastfm_crawl.extensions.metrics.Metrics": 700,
    "lastfm_crawl.extensions.jobs.Jobs": 800,
    "scrapy.extensions.logstats.LogStats": None,  # counts stored answers as traffic; Progress does not
}
HTTPCACHE_ENABLED = True
HTTPCACHE_IGNORE_MISSING = False  # True: offline, from the store alone

# --- Scrapy, tuned ------------------------------------------------------------------------------------------------

CONCURRENT_ITEMS = 1  # an answer is one item: Scrapy's parallel map over 100 costs more than it brings
WARN_ON_GENERATOR_RETURN_VALUE = False
DOWNLOADER_STATS = False  # five counters a request that count stored answers as traffic; lastfm_crawl/asked does not
LOG_LEVEL = (os.environ.get("LOG_LEVEL") or "INFO").upper()
# Scrapy's own, or json: one JSON object a line, with the spider and the id of the run.
LOG_FORMAT = os.environ.get("LOG_FORMAT") or "%(asctime)s [%(name)s] %(levelname)s: %(message)s"
LOG_FORMATTER = "lastfm_crawl.extensions.log_format.ShortLogFormatter"
SCHEDULER_DEBUG = True  # says when a request cannot be kept in a JOBDIR
COOKIES_ENABLED = False
REFERER_ENABLED = False
TELNETCONSOLE_ENABLED = False
REMOTE_CONTROL_ENABLED = False  # on by default since 2.19: a server that runs posted Python beside an API key
DOWNLOAD_VERIFY_CERTIFICATES = True  # off by default, and a key travels
FEED_EXPORT_ENCODING = "utf-8"
