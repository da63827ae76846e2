"""Which tracks are one song, whatever the order in which they come, and which id a song keeps."""

from __future__ import annotations

import itertools
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lastfm_crawl.matching.song_ids import Claim, keep_ids, song_uuid
from lastfm_crawl.matching.songs import LARGEST, Track, artist_form, clean_isrc, clean_mbid, fold_songs

ISRCS = ("USAAA0000001", "USAAA0000002", "USAAA0000003")
MBID = "50e6dad8-1efd-4c96-b370-6a2a50b69df3"


def groups(*tracks) -> set[frozenset[int]]:
    return {frozenset(edge.track_id for edge in song.edges) for song in fold_songs(tracks)}


def one_song(*tracks) -> bool:
    return len(groups(*tracks)) == 1


@pytest.mark.parametrize(
    ("title", "other"),
    [
        ("Hey Jude", "hey jude"),
        ("Hey Jude", "Hey Jude - Remastered 2015"),
        ("Hey Jude (2009 Stereo Mix)", "Hey Jude - Mono Version"),
        ("Hey Jude (Deluxe Edition)", "Hey Jude"),
        ("Hey Jude [Explicit]", "Hey Jude (Clean)"),
        ("Hey Jude - Radio Edit", "Hey Jude (Album Version)"),
        ("Hey Jude (feat. B)", "Hey Jude ft. B"),
        ("Hey Jude (feat. B & C)", "Hey Jude (feat. C)"),
        ("The End", "End"),
        ("Don\u2019t Stop", "Don't stop!"),
        ("X & Y", "X and Y"),
        ("Halo (Live)", "Halo - Live Version"),
        ("Halo - Live at Wembley", "Halo (Live from Wembley) [2011 Remaster]"),
        ("Halo (Tiësto Remix)", "Halo - Remix by Tiesto"),
        ("Café", "Cafe"),
    ],
)
def test_one_song(title, other):
    assert one_song(Track(1, "A", title), Track(2, "A", other))


@pytest.mark.parametrize(
    ("title", "other"),
    [
        *(
            ("Halo", f"Halo ({version})")
            for version in (
                "Live", "X Remix", "Karaoke Version", "Acoustic", "Instrumental", "Sped Up", "Demo", "Taylor's Version",
                "Slowed + Reverb", "A Cappella", "Cover", "Alternate Take", "Extended Mix", "Spanish Version",
                "Todd Terje Edit", "Part 2",
            )
        ),
        ("Halo (X Remix)", "Halo (Y Remix)"),
        ("Halo (Live at Wembley)", "Halo (Live in Paris)"),
        ("Halo (Live 1975)", "Halo (Live 1980)"),
        ("Halo (Live)", "Halo (Live Acoustic)"),
        ("Halo (Take 1)", "Halo (Take 2)"),
        ("Main Theme (From The Thing)", "Main Theme (From The Blob)"),
        ("Halo (feat. B)", "Halo (feat. C)"),
        ("Halo", "Hallo"),
        ("!!!", "???"),
        ("夜", "夜に"),
    ],
)  # fmt: skip
def test_two_songs(title, other):
    assert not one_song(Track(1, "A", title), Track(2, "A", other))


def test_guests_of_a_credit_are_guests():
    assert one_song(Track(1, "A feat. B", "Song"), Track(2, "A", "Song (feat. B)"))
    assert not one_song(Track(1, "A feat. B", "Song"), Track(2, "A", "Song (feat. C)"))
    assert artist_form("The A feat. B") == artist_form("a") == "a"


@pytest.mark.parametrize("artist", ["[unknown]", "Various Artists", "VA", "Unknown Artist"])
def test_nobody_in_particular_has_no_songs(artist):
    assert not one_song(Track(1, artist, "Intro"), Track(2, artist, "intro"))
    assert one_song(Track(1, artist, "An Intro", isrc=ISRCS[0]), Track(2, artist, "An intro", isrc=ISRCS[0]))


def test_another_code_is_no_reason_against_but_another_length_is():
    first = Track(1, "A", "Song", isrc=ISRCS[0], seconds=200)
    assert one_song(first, Track(2, "A", "Song - Remastered", isrc=ISRCS[1], seconds=210))
    assert not one_song(first, Track(2, "A", "song", isrc=ISRCS[1], seconds=400))
    assert one_song(first, Track(2, "A", "Song (Single Edit)", isrc=ISRCS[1], seconds=100))
    assert one_song(first, Track(2, "A", "song"))


@pytest.mark.parametrize("ids", [{"isrc": ISRCS[0]}, {"spotify_id": "s"}, {"mbid": MBID}])
def test_an_id_joins_what_is_alike(ids):
    track = Track(1, "A", "Smells Like Rain", **ids)
    assert one_song(track, Track(2, "A", "Smels Like Rain", **ids))
    assert not one_song(track, Track(2, "A", "Smels Like Rain"))
    assert not one_song(track, Track(2, "A", "Come As You Were", **ids))
    assert not one_song(track, Track(2, "A", "Smells Like Rain (Live)", **ids))
    assert not one_song(Track(1, "A", "Rain No. 1", **ids), Track(2, "A", "Rain No. 2", **ids))


def test_a_friend_of_a_friend_is_no_friend():
    # b is like a and like c, which are unlike each other.
    tracks = [
        Track(1, "A", "abcdefghij", isrc=ISRCS[0], mbid=MBID),
        Track(2, "A", "abcdefghxx", isrc=ISRCS[0], spotify_id="s"),
        Track(3, "A", "abcdefxxxx", spotify_id="s"),
    ]
    tracks[1] = tracks[1]._replace(title="abcdefghix")
    tracks[2] = tracks[2]._replace(title="abcdefghxx")
    assert one_song(*tracks[:2])
    assert one_song(*tracks[1:])
    assert {1, 3} not in groups(*tracks)
    assert not one_song(*tracks)


def test_the_best_version_names_the_song():
    (song,) = fold_songs([
        Track(1, "A", "Song", 90),
        Track(2, "A", "Song (Remastered)", 10, isrc="us-aaa-00-00001", spotify_id="s"),
        Track(3, "A", "SONG", 20, mbid=MBID.upper()),
    ])  # fmt: skip
    assert (song.title, song.plays) == ("Song (Remastered)", 120)
    assert (song.isrc, song.spotify_id, song.mbid) == (ISRCS[0], "s", MBID)
    assert [(edge.track_id, edge.reason) for edge in song.edges] == [(2, "best"), (3, "name"), (1, "name")]
    assert [edge.own_id for edge in song.edges] == [f"isrc:{ISRCS[0]}", f"mbid:{MBID}", song.name_id]


def test_a_song_has_so_many_tracks_at_most():
    marks = ("".join(signs) for signs in itertools.product("!?.", repeat=4))
    tracks = [Track(n, "A", f"Song{sign}") for n, sign in enumerate(itertools.islice(marks, LARGEST + 20))]
    assert sorted(map(len, groups(*tracks))) == [20, LARGEST]
    assert len({song.raw_id for song in fold_songs(tracks)}) == 2


def test_what_is_no_id_is_none():
    assert clean_isrc("gb-aye-67-00001") == "GBAYE6700001"
    assert clean_isrc("GBAYE670000") is clean_isrc("") is clean_isrc(None) is None
    assert clean_mbid("50E6DAD8-1efd-4c96-b370-6a2a50b69df3") == MBID
    assert clean_mbid("none") is clean_mbid(None) is None


TITLES = st.sampled_from(["Song", "song", "Song - Remastered 2011", "Song (Live)", "Song (feat. B)", "Song (feat. C)",
                          "Songg", "The Song", "Song (X Remix)", "!!!", ""]) | st.text()  # fmt: skip
TRACKS = st.builds(
    Track, id=st.just(0), artist=st.sampled_from(["A", "The A", "A feat. B"]), title=TITLES, plays=st.integers(0, 3),
    isrc=st.none() | st.sampled_from(ISRCS), spotify_id=st.none() | st.sampled_from("xyz"),
    mbid=st.none() | st.just(MBID), seconds=st.none() | st.sampled_from([100.0, 200.0, 210.0]),
)  # fmt: skip


@settings(max_examples=300)
@given(st.lists(TRACKS, max_size=12, unique_by=lambda track: (track.artist, track.title)), st.randoms())
def test_the_order_makes_no_difference(tracks, random):
    tracks = [track._replace(id=number) for number, track in enumerate(tracks)]
    songs = fold_songs(tracks)
    assert sorted(edge.track_id for song in songs for edge in song.edges) == list(range(len(tracks)))
    assert len({song.raw_id for song in songs}) == len(songs)
    random.shuffle(tracks)
    assert fold_songs(tracks) == songs


def test_many_tracks_of_one_artist_take_no_longer():
    tracks = [Track(n, "A", f"Song {n}", isrc=f"USAAA{n // 2:07}") for n in range(20_000)]
    started = time.process_time()
    assert len(fold_songs(tracks)) == 20_000
    assert time.process_time() - started < 10


# --- ids ----------------------------------------------------------------------------------------------------------

U, V = song_uuid("a"), song_uuid("b")


def test_a_new_song_gets_an_id_of_its_name():
    assert keep_ids({1: "a"}, []).ids == {1: U}


def test_of_two_that_become_one_the_smaller_first_id_lives():
    kept = keep_ids({1: "c"}, [Claim(1, V, 2, "b"), Claim(1, U, 2, "a")])
    assert kept == ({1: U}, {V: U})


def test_of_one_that_becomes_two_the_part_it_was_made_of_keeps_the_id():
    claims = [Claim(1, U, 2, "a"), Claim(2, U, 2, "a"), Claim(2, U, 0, "a")]
    kept = keep_ids({1: "0", 2: "a"}, claims)
    assert kept == ({1: song_uuid("0"), 2: U}, {})


@given(
    st.dictionaries(st.integers(0, 5), st.sampled_from("abcdef"), max_size=6).filter(
        lambda songs: len(set(songs.values())) == len(songs)
    ),
    st.lists(st.tuples(st.integers(0, 5), st.sampled_from("abcdef"), st.integers(1, 3)), max_size=12),
    st.randoms(),
)
def test_no_two_songs_get_one_id(songs, others, random):
    living = {name for _, name, _ in others}
    claims = [Claim(song, song_uuid(name), strength, name) for song, name, strength in others if song in songs]
    # As the warehouse asks: what is made of a song's own name is claimed most strongly, if it lives.
    claims += [Claim(number, song_uuid(name), 0, name) for number, name in songs.items() if name in living]
    kept = keep_ids(songs, claims)
    assert set(kept.ids) == set(songs)
    assert len(set(kept.ids.values())) == len(songs)
    assert not set(kept.merged) & set(kept.ids.values())
    random.shuffle(claims)
    assert keep_ids(songs, claims) == kept
