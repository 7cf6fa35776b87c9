import lzma
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from obliviate.data.formats.plain_text import has_roles, speeches, windows
from obliviate.data.samples import Samples
from obliviate.data.sources import Data, load_data
from obliviate.errors import DataError

NAMES = ("ANN", "BOB", "First Lord")
LETTERS = np.random.default_rng(0).choice(list("abcdefghijklmnopqrstuvwxyz"), 6000)
PLAY = "\n\n".join(
    f"{NAMES[i % 3]}:\n{NAMES[i % 3][0].lower()} says {i:02d}:\n{''.join(LETTERS[100 * i : 100 * i + 2 * i])}"
    for i in range(30)
)


def put(folder: Path, settings: str = "") -> Path:
    (folder / "play.txt").write_text(PLAY)
    (folder / "data.toml").write_text(f'path = "play.txt"\nkind = "causal-lm"\n{settings}')
    return folder


def texts(data: Data, samples: Samples) -> list[str]:
    """Each window with the last character that it predicts."""
    assert data.vocabulary is not None
    batch = samples.everything()
    written = []
    for x, y in zip(batch.x.tolist(), batch.y.tolist(), strict=True):
        count = sum(token != -100 for token in y)
        assert y[count:] == [-100] * (len(y) - count)
        assert x[1:count] == y[: count - 1]
        assert x[count:] == [0] * (len(x) - count)
        written.append(data.vocabulary.decode(x[:count]) + data.vocabulary.decode(y[count - 1 : count]))
    return written


def test_every_character_of_a_play_is_in_one_window_of_its_role(tmp_path: Path):
    data = load_data(put(tmp_path, "length = 16\n"))
    assert (data.kind, data.owner) == ("causal-lm", "role")
    assert data.vocabulary is not None
    assert data.classes == len(data.vocabulary)
    said = speeches(PLAY)
    trained = {name: [] for name in NAMES}
    for role, text in zip(data.metadata["role"], texts(data, data.train), strict=True):
        trained[str(role)].append(text)
        assert 2 <= len(text) <= 17
    everything = texts(data, data.train) + texts(data, data.test)
    for role in NAMES:
        whole = "".join(trained[role])
        kept = "\n\n".join(speech for name, speech in said if name == role and speech.partition(":")[0] in whole)
        assert whole in (kept, kept[:-1])  # a last window of one character is left out
    between = 2 * (len(said) - 2 * len(NAMES))
    characters = sum(len(speech) for _, speech in said) + between
    assert characters - 2 * len(NAMES) <= sum(map(len, everything)) <= characters


def test_whole_speeches_are_held_out_by_the_seed(tmp_path: Path):
    put(tmp_path, "length = 16\ntest_share = 0.2\n")
    drawn = set()
    for seed in range(4):
        data = load_data(tmp_path, seed=seed)
        assert data.notes[0].startswith("24 speeches of 3 roles in train, 6 speeches of ")
        numbers = ["".join(texts(data, part)) for part in (data.train, data.test)]
        seen = [{i for i in range(30) if f"says {i:02d}:" in words} for words in numbers]
        assert not seen[0] & seen[1]
        drawn.add(tuple(sorted(seen[1])))
    assert len(drawn) == 4
    assert load_data(tmp_path, seed=2).sha256 == load_data(tmp_path, seed=2).sha256


def test_whole_roles_are_held_out_where_there_are_ten_or_more(tmp_path: Path):
    spoken = [f"R{i % 20:02d}:\n{''.join(LETTERS[60 * i : 60 * i + 60])}" for i in range(60)]
    (tmp_path / "play.txt").write_text("\n\n".join(spoken))
    (tmp_path / "data.toml").write_text('path = "play.txt"\nkind = "causal-lm"\nlength = 16\n')
    data = load_data(tmp_path)
    trained, held = set(data.metadata["role"]), set(data.owners["test"])
    assert not trained & held
    assert (len(trained), len(held)) == (16, 4)
    assert data.notes[1] == "test: 4 owners drawn, with all that is theirs"


def test_one_roles_windows_are_found_by_its_name(tmp_path: Path):
    data = load_data(put(tmp_path, "length = 16\n"))
    ids = data.ids_of("First Lord")
    assert 0 < len(ids) < len(data.train)
    assert all("B" not in words and "a says" not in words for words in texts(data, data.train.select(ids)))


def test_a_text_without_roles_is_cut_into_windows_that_are_drawn_whole(tmp_path: Path):
    text = "".join(LETTERS[:1300])
    (tmp_path / "input.txt.xz").write_bytes(lzma.compress(text.encode()))
    data = load_data(tmp_path)
    assert (data.owner, dict(data.metadata)) == (None, {})
    assert data.train.everything().x.shape == (10, 128)  # of 11 windows, one is held out
    together = texts(data, data.train) + texts(data, data.test)
    assert Counter("".join(together)) - Counter(text) == Counter()
    assert all(words.replace("<unk>", "?") in text for words in texts(data, data.train))


def test_roles_are_found_out_or_told(tmp_path: Path):
    assert has_roles(PLAY)
    assert not has_roles(PLAY + "\n\nThe end")
    assert load_data(put(tmp_path, "roles = false\nlength = 16\n")).owner is None
    (tmp_path / "play.txt").write_text(PLAY + "\n\nThe end")
    assert load_data(tmp_path).owner is None
    (tmp_path / "data.toml").write_text('path = "play.txt"\nkind = "causal-lm"\nroles = true\n')
    with pytest.raises(
        DataError, match=r'^expected every paragraph of play.txt to begin with a line "ROLE:", got \'The'
    ):
        load_data(tmp_path)


def test_a_text_to_test_on_may_be_given(tmp_path: Path):
    put(tmp_path, 'test = "other.txt"\nlength = 16\n')
    (tmp_path / "other.txt").write_text("ANN:\nI was never seen @ all")
    data = load_data(tmp_path)
    vocabulary = {letter for _, words in speeches(PLAY) for letter in words}
    expected = "".join(letter if letter in vocabulary else "<unk>" for letter in "I was never seen @ all")
    assert "<unk>" in expected
    assert "".join(texts(data, data.test)) == expected
    assert data.notes[0] == "30 speeches of 3 roles in train, 1 speeches of 1 roles in test"


def test_targets_are_the_next_characters(tmp_path: Path):
    (tmp_path / "a.txt").write_text("abcabcab" * 3)
    (tmp_path / "b.txt").write_text("cab")
    (tmp_path / "data.toml").write_text('path = "a.txt"\ntest = "b.txt"\nkind = "causal-lm"\nlength = 4\n')
    data = load_data(tmp_path)
    assert data.vocabulary is not None
    assert data.vocabulary.tokens == ("<pad>", "<unk>", "a", "b", "c")
    assert data.test.everything().x.tolist() == [[4, 2, 0, 0]]
    assert data.test.everything().y.tolist() == [[2, 3, -100, -100]]
    assert data.train.everything().y.dtype == torch.int64


def test_windows_of_one_character_are_left_out():
    assert windows([("a", "12345")], length=3, between="") == [("a", "1234")]
    assert windows([("a", "1")], length=3, between="") == []


def test_a_text_that_is_too_short_is_refused(tmp_path: Path):
    (tmp_path / "input.txt").write_text("a")
    with pytest.raises(DataError, match=r"^expected a share of 1 rows that is one row or more and not all, got 0.1; "):
        load_data(tmp_path)
