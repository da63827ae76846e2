"""The model that is shipped, and how models are trained."""

from __future__ import annotations

import json

import numpy as np
import pytest

from lastfm_crawl.matching.fit import choose_bands, f1_threshold, train
from lastfm_crawl.matching.model import SHIPPED, Bands, Model, Table, loads, shipped
from lastfm_crawl.matching.records import FEATURES, features, prepare
from lastfm_crawl.matching.rows import Record
from lastfm_crawl.matching.train import choose_margin, read_catalogue, read_pairs, training_pairs


def band(a: Record, b: Record) -> str:
    [score] = shipped().score(features([(prepare(a), prepare(b))]))
    return shipped().decide(float(score)).band


SONG = Record("Blue Moon Rising", "Ann Lee", "Hues", 200, 2001)
BARE = Record("Blue Moon Rising", "Ann Lee")


@pytest.mark.parametrize(
    ("a", "b", "wanted"),
    [
        (SONG, SONG, {"accept"}),
        (BARE, BARE, {"accept"}),
        (BARE, Record("blue moon rising", "ANN LEE"), {"accept"}),
        (Record("22", "Ann Lee"), Record("22", "Ann Lee"), {"accept"}),
        (Record("!!!", "!!!"), Record("!!!", "!!!"), {"accept"}),
        (Record("Группа", "Кино"), Record("Gruppa", "Kino"), {"accept"}),
        (BARE, Record("Blue Moon Rising - Remastered 2011", "Ann Lee"), {"accept"}),
        (SONG, Record("Blue Moon Rising (Remastered 2011)", "Ann Lee", "Hues (Deluxe Edition)", 201, 2011), {"accept"}),
        (BARE, Record("Blue Moon Rising (feat. Bob)", "Ann Lee, Bob"), {"accept"}),
        (BARE, Record("Blue Moon Rising (Karaoke Version)", "Ann Lee"), {"review", "reject"}),
        (BARE, Record("Blue Moon Rising (Karaoke Version)", "Sing Along Band"), {"reject"}),
        (SONG, Record("Blue Moon Rising - Live", "Ann Lee", "Hues", 200, 2001), {"review", "reject"}),
        (BARE, Record("Blue Moon Rising", "Depeche Mode"), {"reject"}),
        (SONG, Record("Blue Moon Rising", "Kyle Brandt", "Other", 247, 1988), {"reject"}),
        (SONG, Record("Closing Time", "Ann Lee", "Hues", 251, 2001), {"reject"}),
        (Record("Brick, Pt. 1", "Ann Lee"), Record("Brick, Pt. 2", "Ann Lee"), {"review", "reject"}),
        (Record(), Record(), {"review", "reject"}),
    ],
)  # fmt: skip
def test_what_the_shipped_model_says(a, b, wanted):
    assert band(a, b) in wanted
    assert band(b, a) in wanted


def test_more_alike_is_never_less_probable():
    for name, table in shipped().tables.items():
        steps = np.diff(table.values) * FEATURES[name]
        assert (steps >= 0).all(), name
        assert table.edges == sorted(table.edges), name
        assert len(table.values) == len(table.edges) + 1, name


def test_the_shipped_model_is_what_its_file_says():
    model = shipped()
    assert model.dumps() == SHIPPED.read_text(encoding="utf-8")
    assert SHIPPED.stat().st_size < 20_000
    assert 0 < model.bands.reject < 0.5 <= model.bands.accept < 1
    assert model.bands.margin > 0


def test_bands_and_runner_up():
    model = Model(0.0, {}, Bands(0.9, 0.1, 0.2))
    assert model.decide(0.95) == (0.95, 0.0, 0.95, "accept")
    assert model.decide(0.95, 0.9).band == "review"
    assert model.decide(0.5).band == "review"
    assert model.decide(0.05, 0.04).band == "reject"


def test_tables_are_steps():
    model = Model(0.5, {"title_ratio": Table([0.2, 0.6], [1.0, 2.0, 3.0], -1.0)}, Bands(0.9, 0.1, 0.2))
    values = np.zeros((4, len(FEATURES)))
    values[:, list(FEATURES).index("title_ratio")] = [0.2, 0.3, 0.9, np.nan]
    assert model.log_odds(values).tolist() == [1.5, 2.5, 3.5, -0.5]
    assert loads(model.dumps()) == model
    with pytest.raises(ValueError, match="train it again"):
        loads(model.dumps().replace("title_ratio", "beauty"))


@pytest.fixture(scope="module")
def invented() -> tuple[np.ndarray, np.ndarray]:
    """300 pairs in which titles, artists and lengths decide, and nothing else is known."""
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 2, 300)
    values = np.full((300, len(FEATURES)), np.nan)
    names = list(FEATURES)
    values[:, names.index("title_ratio")] = np.clip(0.4 + 0.4 * labels + rng.normal(0, 0.2, 300), 0, 1)
    values[:, names.index("artist")] = np.clip(0.4 + 0.4 * labels + rng.normal(0, 0.2, 300), 0, 1)
    values[:, names.index("duration_delta")] = np.abs(rng.normal(0, 5, 300) + 30 * (1 - labels))
    return values, labels


def test_training_is_repeatable_and_calibrated(invented):
    values, labels = invented
    model, held_out = train(values, labels, seed=3)
    assert train(values, labels, seed=3).model.dumps() == model.dumps()
    assert ((held_out > 0.5) == labels).mean() > 0.9
    # Of those said to be probable at p about a share of p is one.
    middle = (held_out > 0.3) & (held_out < 0.9)
    assert abs(held_out.mean() - labels.mean()) < 0.03
    assert not middle.any() or abs(held_out[middle].mean() - labels[middle].mean()) < 0.3
    # What has seen the pairs says the same as what has not, by and large.
    assert np.corrcoef(model.score(values), held_out)[0, 1] > 0.9
    assert set(json.loads(model.dumps())["tables"]) <= {"title_ratio", "artist", "duration_delta"}


def test_thresholds():
    scores = np.array([0.99, 0.98, 0.97, 0.6, 0.4, 0.03, 0.02, 0.01])
    labels = np.array([1, 1, 1, 1, 0, 0, 0, 0])
    assert f1_threshold(scores, labels) == 0.5
    bands = choose_bands(scores, labels)
    assert bands.accept == 0.6
    assert bands.reject == 0.5


def test_the_training_script_reads_what_is_published(tmp_path):
    folder = tmp_path / "musicbrainz-20k"
    folder.mkdir()
    rows = ["TID,CID,CTID,SourceID,id,number,title,length,artist,album,year,language"]
    titles = ["Blue Moon Rising", "Closing Time", "Old River", "Green Leaves", "Stone Garden", "Paper Boats"]
    for number, title in enumerate(titles):
        rows.append(f"{2 * number},{number},1,1,A,{number},{title} (Hues),03:2{number},Singer {number},Hues,1999,")
        rows.append(f"{2 * number + 1},{number},2,5,B,{number},{title},20{number}000,Singer {number},Hues,1999,English")
    (folder / "part.csv").write_text("\n".join(rows), encoding="utf-8")
    catalogue = read_catalogue(folder / "part.csv")
    assert [record.base for record in catalogue.records[:2]] == ["blue moon rising"] * 2
    line = "COL Song_Name VAL Blue ( Live ) COL Time VAL 3:33 \tCOL Song_Name VAL Blue 3:33 COL Time VAL  \t1"
    for kind in ("structured", "dirty"):
        (tmp_path / "itunes-amazon" / kind).mkdir(parents=True)
        (tmp_path / "itunes-amazon" / kind / "train.txt").write_text(f"{line}\n", encoding="utf-8")
    [pair] = read_pairs(tmp_path / "itunes-amazon" / "dirty" / "train.txt")
    assert (pair.a.flags, pair.b.flags, pair.b.record.duration, pair.label) == ({"live"}, set(), 213, 1)
    pairs = training_pairs(tmp_path)
    assert {pair.label for pair in pairs} == {0, 1}
    assert [pair.a.full for pair in training_pairs(tmp_path)] == [pair.a.full for pair in pairs]
    scores = np.array([0.9 if pair.label else 0.1 for pair in pairs])
    assert choose_margin(scores, pairs, 0.5) == 0.05
    (folder / "second.csv").write_bytes((folder / "part.csv").read_bytes())
    asked = {query for pair in pairs for query in pair.asked}
    assert len({query for pair in training_pairs(tmp_path) for query in pair.asked}) == 2 * len(asked)
