-- What is being fetched for whom, kept current by every run. A front end follows without asking again and again: each
-- change is announced on the channel fetch_jobs with the row as JSON.

CREATE TABLE fetch_jobs (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    scope         text COLLATE "C" NOT NULL,         -- the spider
    username      text,                              -- null: everybody, or everything
    year          integer,                           -- of a window of one year; null: all there is
    status        text NOT NULL CHECK (status IN ('running', 'completed', 'failed', 'stopped')),
    phase         text NOT NULL CHECK (phase IN ('fetching', 'matching', 'augmenting')),
    progress      bigint NOT NULL DEFAULT 0,         -- of total, in unit
    total         bigint,
    unit          text NOT NULL DEFAULT 'pages',
    matched       bigint,
    fuzzy_matched bigint,
    not_found     bigint,
    error_message text,
    run_id        text COLLATE "C" NOT NULL,         -- of the last run; no foreign key: the job may begin before its record
    created_at    timestamptz NOT NULL DEFAULT now(),
    started_at    timestamptz NOT NULL,              -- of the last run
    updated_at    timestamptz NOT NULL,              -- a running job whose time stands still was killed
    finished_at   timestamptz
);

-- A job that is run again is the same job.
CREATE UNIQUE INDEX fetch_jobs_once ON fetch_jobs (scope, coalesce(lower(username), ''), coalesce(year, 0));

-- What is told of a job. A notice takes 8,000 bytes: of the message no more than fits, however it is encoded.
CREATE FUNCTION fetch_job_as_json(job fetch_jobs) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT to_jsonb(job) || jsonb_build_object('error_message', left(job.error_message, 1000))
$$;

CREATE FUNCTION announce_fetch_job() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('fetch_jobs', fetch_job_as_json(NEW)::text);
    RETURN NULL;
END
$$;

CREATE TRIGGER fetch_jobs_announced AFTER INSERT OR UPDATE ON fetch_jobs
FOR EACH ROW EXECUTE FUNCTION announce_fetch_job();
