# The project and all it needs: `docker run --rm IMAGE crawl ...` is `scrapy crawl ...`, and what it keeps lies in /data.
FROM python:3.13.15-slim-trixie

# Process 1, which passes signals on and reaps: the kernel keeps from scrapy there what it has no handler for.
# Debian has one version of a package at a time: a pinned one would only break the build.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends tini \
    && rm -rf /var/lib/apt/lists/*

# PostgreSQL does not run as root.
RUN useradd --uid 10001 --create-home lastfm \
    && install --directory --owner=lastfm --group=lastfm /data

WORKDIR /app
# Before the code, which changes more often.
COPY requirements.txt ./
RUN pip install --no-cache-dir -r requirements.txt

COPY docs/examples/scrapyd.conf /etc/scrapyd/scrapyd.conf
COPY docs/examples/scrapyd-docker.conf /etc/scrapyd/conf.d/docker.conf
COPY scrapy.cfg ./
COPY lastfm_crawl lastfm_crawl
# Nobody may write here later.
RUN python -m compileall -q lastfm_crawl

USER 10001
ENV DATA_DIR=/data
VOLUME /data
# Stopped by SIGTERM, Docker's own: a crawl ends in order on it, and an ingest passes it on to the phase that runs.
ENTRYPOINT ["tini", "--", "scrapy"]
