-- What Last.fm's terms count: the bytes of each answer that is kept (of its body, before compression).
-- Answers that were loaded before this count nothing until they are replayed.

ALTER TABLE fetches ADD COLUMN bytes bigint NOT NULL DEFAULT 0;
