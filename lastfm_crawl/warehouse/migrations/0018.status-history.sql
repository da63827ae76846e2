-- How the status of each member changed, from every answer that was ever loaded, in whatever order that was done.

-- fetches has the newest answer to each question. Of those that it replaced, this is what the past is told by.
CREATE TABLE earlier_answers (
    user_id    integer NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    method     text COLLATE "C" NOT NULL,
    status     text NOT NULL,
    detail     text,
    fetched_at timestamptz NOT NULL,
    PRIMARY KEY (user_id, method, fetched_at, status)
);

-- The site's word about a profile page (user.page) says nothing about the user; errors are not stored, only met.
CREATE VIEW user_answers AS
SELECT f.user_id, f.method, f.page = 0 AS is_mark, f.status, f.detail, f.fetched_at
FROM fetches f WHERE f.method LIKE 'user.get%'
UNION ALL
SELECT e.user_id, e.method, e.status <> 'ok', e.status, e.detail, e.fetched_at
FROM earlier_answers e;

-- A mark holds until a good answer contradicts it: any contradicts "not found", the rest only one of the same method.
-- The newest that holds is the status; so it can change when a mark comes, when one ends, and with the first answer.
CREATE VIEW lastfm_user_statuses AS
SELECT u.name AS username, s.status, s.detail AS status_detail, s.since
FROM users u
CROSS JOIN LATERAL (
    WITH marks AS (
        SELECT m.status, m.detail, m.fetched_at AS since,
               (SELECT min(a.fetched_at) FROM user_answers a
                WHERE a.user_id = u.id AND NOT a.is_mark AND a.fetched_at > m.fetched_at
                  AND (m.status = 'not_found' OR a.method = m.method)) AS until
        FROM user_answers m
        WHERE m.user_id = u.id AND m.is_mark AND m.status <> 'error'),
    moments AS (
        SELECT since FROM marks
        UNION SELECT until FROM marks WHERE until IS NOT NULL
        UNION SELECT min(a.fetched_at) FROM user_answers a WHERE a.user_id = u.id AND a.status <> 'error'),
    told AS (
        SELECT t.since, coalesce(m.status, 'ok') AS status, m.detail,
               lag(coalesce(m.status, 'ok')) OVER (ORDER BY t.since) AS before
        FROM moments t
        LEFT JOIN LATERAL (
            SELECT marks.status, marks.detail FROM marks
            WHERE marks.since <= t.since AND (marks.until IS NULL OR marks.until > t.since)
            ORDER BY marks.since DESC, marks.status, marks.detail LIMIT 1) m ON true
        WHERE t.since IS NOT NULL)
    SELECT told.status, told.detail, told.since FROM told WHERE told.before IS DISTINCT FROM told.status) s
WHERE u.discovered_at IS NOT NULL;

COMMENT ON TABLE earlier_answers IS 'Answers about users that newer ones to the same question replaced: when they came, and what they said of the user.';
COMMENT ON VIEW user_answers IS 'Every answer of Last.fm about a user, the replaced ones, too: what it said of the user, and when.';
COMMENT ON COLUMN user_answers.is_mark IS 'the answer that there is nothing to have';
COMMENT ON VIEW lastfm_user_statuses IS 'How the status of each member changed: one row a change, the first with the first answer.';
COMMENT ON COLUMN lastfm_user_statuses.status IS 'ok, not_found or private; errors are no part of the history';
COMMENT ON COLUMN lastfm_user_statuses.status_detail IS 'what Last.fm said';
COMMENT ON COLUMN lastfm_user_statuses.since IS 'time of the stored answer that changed it';
