-- Top albums: rows of lists, by the answer that brought them.

CREATE TABLE user_albums (
    fetch_id  integer NOT NULL,
    album_id  integer NOT NULL,
    rank      integer NOT NULL,
    playcount integer NOT NULL,
    PRIMARY KEY (fetch_id, album_id)
);

-- As current_charts: of lists that were asked for with several limits the longest counts.
CREATE VIEW current_album_charts AS
SELECT p.id, p.user_id, p.page, p.params, p.fetched_at, substring(p.params FROM 'period=([^,]*)') AS period
FROM current_pages p
WHERE p.method = 'user.getTopAlbums'
  AND NOT EXISTS (
      SELECT FROM fetches o
      WHERE o.user_id = p.user_id AND o.method = p.method AND o.status = 'ok' AND o.params <> p.params
        AND substring(o.params FROM 'period=([^,]*)') = substring(p.params FROM 'period=([^,]*)')
        AND substring(o.params FROM 'limit=([0-9]*)')::integer > substring(p.params FROM 'limit=([0-9]*)')::integer);

CREATE VIEW lastfm_user_albums AS
SELECT u.name AS username, a.name AS artist_name, al.name AS album_name, nullif(al.mbid, '') AS album_mbid,
       ua.playcount, ua.rank, c.fetched_at AS imported_at
FROM current_album_charts c
JOIN user_albums ua ON ua.fetch_id = c.id
JOIN users u ON u.id = c.user_id
JOIN albums al ON al.id = ua.album_id
JOIN artists a ON a.id = al.artist_id
WHERE c.period = 'overall'
  -- A list that changes while it is asked for can have an album on two pages: the first of them counts.
  AND (c.page = 1 OR NOT EXISTS (
      SELECT FROM current_album_charts earlier
      JOIN user_albums other ON other.fetch_id = earlier.id AND other.album_id = ua.album_id
      WHERE earlier.user_id = c.user_id AND earlier.params = c.params AND earlier.page < c.page));

COMMENT ON TABLE user_albums IS 'Rows of lists of top albums, by the answer that brought them.';
COMMENT ON TABLE albums IS 'Albums as Last.fm names them, with the id of a release: by their artist in lists of albums, by that of the track in plays.';
COMMENT ON VIEW current_album_charts IS 'The pages of current_pages that are of top albums; of those asked for with several limits the longest.';
COMMENT ON VIEW lastfm_user_albums IS 'The albums that each user played most, of all time; of several lists the longest.';
COMMENT ON COLUMN lastfm_user_albums.album_mbid IS 'of a MusicBrainz release';
COMMENT ON COLUMN lastfm_user_albums.rank IS 'from 1';
COMMENT ON COLUMN lastfm_user_albums.imported_at IS 'time of the stored answer';
