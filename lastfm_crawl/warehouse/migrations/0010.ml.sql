-- For machine learning: views over songs in a schema of their own, and a vector for each song.

CREATE SCHEMA IF NOT EXISTS ml;
-- Left behind where somebody dropped all but this schema, to load the warehouse anew.
DROP TABLE IF EXISTS ml.song_vectors CASCADE;

-- A column of pgvector's type where the server has it and lets us, an array elsewhere: both read as 128 numbers.
DO $$
BEGIN
    IF to_regtype('vector') IS NULL AND EXISTS (SELECT FROM pg_available_extensions WHERE name = 'vector') THEN
        BEGIN
            CREATE EXTENSION vector;
        EXCEPTION WHEN insufficient_privilege OR undefined_file OR feature_not_supported OR duplicate_object THEN
            NULL;
        END;
    END IF;
    EXECUTE format(
        'CREATE TABLE ml.song_vectors (
            song_id  uuid PRIMARY KEY REFERENCES songs (id) ON DELETE CASCADE,
            vector   %s,
            method   text NOT NULL,
            built_at timestamptz NOT NULL
        )',
        CASE WHEN to_regtype('vector') IS NULL THEN 'real[] NOT NULL CHECK (cardinality(vector) = 128)'
             ELSE 'vector(128) NOT NULL' END);
END
$$;

-- The album that a song's plays name most often, and the first year in which any of the albums they name came out.
CREATE VIEW ml.song_albums AS
WITH named AS (
    SELECT st.song_id, al.name, al.id AS album_id, al.mbid, count(p.recording_id) AS plays
    FROM song_tracks st
    JOIN recordings r ON r.track_id = st.track_id
    JOIN albums al ON al.id = r.album_id
    LEFT JOIN scrobbles p ON p.recording_id = r.id
    GROUP BY st.song_id, al.id),
chosen AS (
    SELECT DISTINCT ON (song_id) song_id, name, album_id
    FROM (SELECT *, sum(plays) OVER (PARTITION BY song_id, name) AS of_name FROM named) n
    ORDER BY song_id, of_name DESC, name, plays DESC, mbid, album_id),
dated AS (SELECT n.song_id, min(y.year) AS year FROM named n JOIN album_years y USING (album_id) GROUP BY n.song_id)
SELECT c.song_id, c.album_id, c.name AS album, d.year AS first_year
FROM chosen c LEFT JOIN dated d USING (song_id);

CREATE VIEW ml.artists AS
WITH rated AS (
    SELECT s.artist_id, count(*) AS albums,
           round(avg(coalesce(b.user_score_exact, b.user_score)), 2) AS user_score,
           round(avg(coalesce(b.critic_score_exact, b.critic_score)), 2) AS critic_score
    FROM (SELECT DISTINCT s.artist_id, a.aoty_id FROM aoty_attrs a JOIN songs s ON s.id = a.song_id) s
    JOIN aoty_albums b ON b.id = s.aoty_id GROUP BY s.artist_id)
SELECT s.artist AS name,
       (SELECT to_jsonb(r) - 'artist_id' FROM rated r WHERE r.artist_id = s.artist_id) AS aoty_data,
       jsonb_build_object('songs', count(*), 'playcount', sum(l.playcount)) AS lastfm_data, s.artist_id
FROM songs s JOIN lastfm_stats l ON l.song_id = s.id
GROUP BY s.artist_id, s.artist;

-- An album is its artist and its title: Last.fm names one with several ids, or without.
CREATE VIEW ml.albums AS
WITH named AS (
    SELECT s.artist_id, s.artist, a.album AS title, min(y.year) AS year, count(DISTINCT s.id) AS songs,
           sum(l.playcount) AS playcount,
           (array_agg(m.aoty_id ORDER BY m.score DESC, m.aoty_id) FILTER (WHERE m.band = 'accept'))[1] AS aoty_id
    FROM ml.song_albums a
    JOIN songs s ON s.id = a.song_id
    JOIN lastfm_stats l ON l.song_id = s.id
    LEFT JOIN album_years y ON y.album_id = a.album_id
    LEFT JOIN aoty_album_matches m ON m.album_id = a.album_id
    GROUP BY s.artist_id, s.artist, a.album)
SELECT n.title, n.artist,
       coalesce(n.year, substring(b.release_date FROM '^[0-9]{4}')::integer) AS year,
       coalesce(b.user_score_exact, b.user_score)::double precision AS aoty_score, b.user_count AS aoty_num_ratings,
       CASE WHEN b.id IS NOT NULL THEN jsonb_build_object(
           'id', b.id, 'url', b.url, 'critic_score', coalesce(b.critic_score_exact, b.critic_score),
           'critic_count', b.critic_count, 'release_date', b.release_date, 'label', b.label, 'genres', b.genres,
           'secondary_genres', b.secondary_genres, 'tags', b.tags) END AS aoty_data,
       jsonb_build_object('songs', n.songs, 'playcount', n.playcount) AS lastfm_data, n.artist_id
FROM named n LEFT JOIN aoty_albums b ON b.id = n.aoty_id;

-- duration is in seconds. A track is a song.
CREATE VIEW ml.tracks AS
SELECT s.title, a.album, coalesce(t.number::integer, p.track_number) AS track_number,
       coalesce(t.seconds, p.duration_ms / 1000.0)::double precision AS duration,
       CASE WHEN o.song_id IS NOT NULL THEN to_jsonb(o) - 'song_id' END AS aoty_data,
       jsonb_build_object('playcount', l.playcount, 'listeners', l.listeners, 'tags', l.tags) AS lastfm_data,
       s.artist, s.id AS song_id, s.artist_id
FROM songs s
JOIN lastfm_stats l ON l.song_id = s.id
LEFT JOIN ml.song_albums a ON a.song_id = s.id
LEFT JOIN spotify_attrs p ON p.song_id = s.id
LEFT JOIN aoty_attrs o ON o.song_id = s.id
LEFT JOIN aoty_tracks t ON t.album_id = o.aoty_id AND t.place = o.place;

CREATE VIEW ml.user_track_interactions AS
SELECT u.name AS "user", s.title AS track, sum(g.playcount)::bigint AS play_count, bool_or(g.loved) AS loved,
       max(g.last_at) AS last_played,
       CASE WHEN bool_or(g.source = 'scrobbles') THEN 'scrobbles'
            WHEN bool_or(g.source = 'top_tracks') THEN 'top_tracks' ELSE 'loved_tracks' END AS source,
       u.id AS user_id, s.id AS song_id
FROM listening g
JOIN song_tracks st ON st.track_id = g.track_id
JOIN songs s ON s.id = st.song_id
JOIN users u ON u.id = g.user_id
GROUP BY u.id, s.id;

-- Nothing of Spotify's is a feature: its terms forbid to train on it. popularity_score is 0 to 1 and depends on nothing
-- but the song's own plays, so that the hash of one song does not change with the plays of another.
CREATE VIEW ml.track_features AS
WITH features AS (
    SELECT s.id AS song_id, s.artist_id, s.title AS track, coalesce(o.genres, '[]') AS genres,
           (SELECT coalesce(jsonb_agg(name ORDER BY place), '[]')
            FROM (SELECT name, min(place) AS place
                  FROM (SELECT lower(tag ->> 'name') AS name, place
                        FROM jsonb_array_elements(l.tags) WITH ORDINALITY AS of_lastfm (tag, place)
                        UNION ALL
                        SELECT lower(name), place + jsonb_array_length(l.tags)
                        FROM jsonb_array_elements_text(coalesce(o.tags, '[]'))
                             WITH ORDINALITY AS of_aoty (name, place)) tags
                  WHERE name IS NOT NULL GROUP BY name) once) AS tags,
           coalesce(a.first_year, substring(b.release_date FROM '^[0-9]{4}')::integer) / 10 * 10 AS decade,
           o.album_score::double precision AS album_rating, o.critic_score::double precision AS critic_score,
           o.user_score::double precision AS user_score,
           round((1 - 1 / (1 + ln(1 + l.playcount::double precision)))::numeric, 4)::double precision
               AS popularity_score,
           v.vector AS similarity_vector, v.method AS similarity_method
    FROM songs s
    JOIN lastfm_stats l ON l.song_id = s.id
    LEFT JOIN ml.song_albums a ON a.song_id = s.id
    LEFT JOIN aoty_attrs o ON o.song_id = s.id
    LEFT JOIN aoty_albums b ON b.id = o.aoty_id
    LEFT JOIN ml.song_vectors v ON v.song_id = s.id)
SELECT track, genres, tags, decade, album_rating, critic_score, user_score, popularity_score, similarity_vector,
       md5(jsonb_build_array(genres, tags, decade, album_rating, critic_score, user_score, popularity_score,
                             similarity_method, similarity_vector::text)::text) AS feature_hash,
       song_id, artist_id, similarity_method
FROM features;
