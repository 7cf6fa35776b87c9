import io
import json
import lzma
import tarfile
from pathlib import Path

import pytest
import torch

from obliviate.data.formats.newsgroups import author, cleaned
from obliviate.data.sources import Data, load_data
from obliviate.errors import DataError

MESSAGES = {
    "20news-bydate-train/sci.space/101": "From: Ann Lee <ann@A.example>\nSubject: x\n\nThe moon and the rocket",
    "20news-bydate-train/sci.space/99": "Subject: y\nfrom: bob@b.example (Bob)\n\nThe rocket. From: eve@e.example",
    "20news-bydate-train/rec.autos/7": "From: nobody\n\nThe car has the engine; the car",
    "20news-bydate-train/rec.autos/8": "From: ann@a.example\n\n",
    "20news-bydate-test/rec.autos/5": "From: x@y\n\nAnother car\u00e9",
    "20news-bydate-test/sci.space/6": "From: x@y\n\nThe moon?",
}


def archive(folder: Path, messages: dict[str, str] = MESSAGES) -> Path:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:xz") as target:
        for name, text in messages.items():
            member = tarfile.TarInfo(name)
            member.size = len(text.encode())
            target.addfile(member, io.BytesIO(text.encode()))
    path = folder / "20news-bydate.tar.xz"
    path.write_bytes(stream.getvalue())
    return path


def words(data: Data) -> list[str]:
    assert data.vocabulary is not None
    return [data.vocabulary.decode(row) for row in data.train.everything().x.tolist()]


def test_newsgroups_are_read_with_their_groups_ids_and_authors(tmp_path: Path):
    archive(tmp_path)
    data = load_data(tmp_path)
    assert (data.kind, data.classes, data.owner) == ("classification", 2, "author")
    assert data.targets is not None
    assert data.targets.names == ("rec.autos", "sci.space")
    assert data.train.ids.tolist() == [
        f"train/{name}" for name in ("rec.autos/7", "rec.autos/8", "sci.space/101", "sci.space/99")
    ]
    assert data.train.everything().y.tolist() == [0, 0, 1, 1]
    assert data.test.everything().y.tolist() == [0, 1]
    assert data.metadata["author"].tolist() == ["", "ann@a.example", "ann@a.example", "bob@b.example"]
    assert data.owners["test"][1] == "x@y"
    assert data.ids_of("ann@a.example").tolist() == ["train/rec.autos/8", "train/sci.space/101"]
    assert words(data) == [
        "the car has the engine the car",
        "<unk>",
        "the moon and the rocket",
        "the rocket from eve e example",
    ]
    assert data.train.everything().x.dtype == torch.int64
    assert data.notes == ("train: 1 of 4 texts are empty, and read as one unknown word",)


def test_words_of_the_test_part_alone_are_unknown(tmp_path: Path):
    data = load_data(archive(tmp_path))
    assert data.vocabulary is not None
    assert data.vocabulary.decode(data.test.everything().x[0].tolist()) == "<unk> <unk>"
    assert data.vocabulary.decode(data.test.everything().x[1].tolist()) == "the moon"
    assert json.loads(json.dumps(data.vocabulary.to_dict()))["unit"] == "word"


def test_folders_of_messages_are_the_same_data_as_their_archive(tmp_path: Path):
    expected = load_data(archive(tmp_path)).sha256
    for name, text in MESSAGES.items():
        path = tmp_path / "unpacked" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert load_data(tmp_path / "unpacked").sha256 == expected


def test_a_description_sets_length_and_vocabulary_and_what_is_taken_out(tmp_path: Path):
    archive(tmp_path)
    settings = 'path = "20news-bydate.tar.xz"\nlength = 5\nvocabulary_size = 4\nremove = []\n'
    (tmp_path / "data.toml").write_text(settings)
    data = load_data(tmp_path)
    assert data.vocabulary is not None
    assert data.vocabulary.tokens == ("<pad>", "<unk>", "the", "from")
    assert words(data) == [
        "from <unk> the <unk> <unk>",
        "from <unk> <unk> <unk>",
        "from <unk> <unk> <unk> <unk>",
        "<unk> <unk> from <unk> <unk>",
    ]
    assert data.notes[0] == "train: 3 of 4 texts are cut to 5 tokens"


@pytest.mark.parametrize(
    ("remove", "expected"),
    [
        ((), "From: a\n\nIn article 5 b writes:\n> why\nSo.\nBecause.\n\n--\nBob\nParis"),
        (("headers",), "In article 5 b writes:\n> why\nSo.\nBecause.\n\n--\nBob\nParis"),
        (("headers", "quotes"), "So.\nBecause.\n\n--\nBob\nParis"),
        (("headers", "quotes", "footers"), "So.\nBecause."),
    ],
)
def test_headers_quotes_and_signatures_are_taken_out_as_asked(remove: tuple[str, ...], expected: str):
    assert cleaned("From: a\n\nIn article 5 b writes:\n> why\nSo.\nBecause.\n\n--\nBob\nParis", remove) == expected


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("From: Ann <A@b.c>\n\n", "a@b.c"),
        ("From: a.b-c@d.e (Ann B.)\n\n", "a.b-c@d.e"),
        ('Reply-To: x@y\nFrom: "Ann, B." <a@b>\n\n', "a@b"),
        ("Reply-To: x@y\n\nFrom: a@b", ""),
        ("From: Ann\nTo: x@y\n\n", ""),
        ("From:\nTo: x@y\n\n", ""),
    ],
)
def test_the_author_is_the_address_of_the_headers(message: str, expected: str):
    assert author(message) == expected


def test_damaged_or_partial_archives_are_refused(tmp_path: Path):
    path = archive(tmp_path)
    whole = path.read_bytes()
    for content in (b"", b"not an archive", whole[: len(whole) // 2]):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"^expected (an archive of messages|messages) in .*, got .*; "):
            load_data(tmp_path)
    archive(tmp_path, {name: text for name, text in MESSAGES.items() if "train" in name})
    with pytest.raises(DataError, match=r"^expected messages in 20news-bydate-test of .*, got none; "):
        load_data(tmp_path)
    archive(tmp_path, MESSAGES | {"20news-bydate-test/rec.motorcycles/1": "From: a@b\n\nx"})
    with pytest.raises(DataError, match=r"^expected groups of 20news-bydate-train, got 'rec.motorcycles' in "):
        load_data(tmp_path)


# Texts in tables

SMS = "".join(f'{("ham", "spam")[i % 2]}\tmessage {i} "is this\n' for i in range(20))


def test_the_sms_collection_is_read_as_published(tmp_path: Path):
    (tmp_path / "SMSSpamCollection.tsv.xz").write_bytes(lzma.compress(SMS.encode()))
    data = load_data(tmp_path)
    assert (len(data.train), len(data.test), data.classes) == (16, 4, 2)
    assert data.targets is not None
    assert data.targets.names == ("ham", "spam")
    for text, y in zip(words(data), data.train.everything().y.tolist(), strict=True):
        assert text.startswith("message ")
        assert text.endswith(" is this")
        assert int(text.split()[1]) % 2 == y


def test_a_users_texts_are_read_with_labels_and_owners(tmp_path: Path):
    (tmp_path / "letters.csv").write_text('who,says,mood\nann,"Well, well",good\nbob,Oh no,bad\nann,No!,bad\n')
    (tmp_path / "more.csv").write_text("who,says,mood\ncy,well no,good\n")
    settings = 'path = "letters.csv"\ntest = "more.csv"\ntext = "says"\ntarget = "mood"\nowner = "who"\nlength = 3\n'
    (tmp_path / "data.toml").write_text(settings)
    data = load_data(tmp_path)
    assert words(data) == ["well well", "oh no", "no"]
    assert data.train.everything().x.shape == (3, 3)
    assert data.train.everything().y.tolist() == [1, 0, 0]
    assert data.metadata["who"].tolist() == ["ann", "bob", "ann"]
    (tmp_path / "data.toml").write_text(settings.replace('"mood"', '"says"'))
    with pytest.raises(DataError, match=r"^expected a target beside the texts, got 'says' for both; "):
        load_data(tmp_path)


def test_copies_of_texts_are_found_in_tokens(tmp_path: Path):
    (tmp_path / "a.csv").write_text("t,y\nred car,1\nblue car,0\nred. car!,1\nplane,0\n")
    (tmp_path / "b.csv").write_text("t,y\nBlue car,0\ncar plane,1\n")
    (tmp_path / "data.toml").write_text('path = "a.csv"\ntest = "b.csv"\ntext = "t"\ntarget = "y"\n')
    data = load_data(tmp_path)
    assert len(data.test) == 1
    assert data.notes == (
        "train: 1 of 4 inputs are exact copies of others; forgetting one keeps the rest",
        "test: 1 of 2 samples left out, copies of training samples",
    )
    assert len(set(data.train.ids)) == 4
