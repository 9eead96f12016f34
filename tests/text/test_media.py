"""ImageEncoder and AudioEncoder: made images and tones come back by likeness, each embedded once ever."""

from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.io import wavfile
from sklearn.base import clone
from sklearn.compose import ColumnTransformer

from sklearn_llmrec import ContentItemKNN, Interactions
from sklearn_llmrec.text import AudioEncoder, ImageEncoder

RATE = 8000


class Colors:
    """Mean color and mean change along rows and columns; remembers how many images it was given."""

    cache_key = "colors"
    given: list[tuple[int, ...]] = []

    def __call__(self, images):
        Colors.given += [image.shape for image in images]
        vectors = []
        for image in images:
            gray = image.mean(axis=2) / 255
            stripes = [np.abs(np.diff(gray, axis=axis)).mean() for axis in (0, 1)]
            vectors.append([*(image.mean(axis=(0, 1)) / 255), *stripes])
        return np.array(vectors)


class Bands:
    """Energy of eight bands of the spectrum."""

    cache_key = "bands"
    given: list[int] = []

    def __call__(self, sounds):
        Bands.given += [len(sound) for sound in sounds]
        return [np.abs(np.fft.rfft(s, 1600))[:800].reshape(8, -1).sum(axis=1) for s in sounds]


class PillowModel:
    """A model with `encode`, as sentence-transformers has it."""

    def encode(self, images, **options):
        assert options["convert_to_numpy"]
        return np.array([image.getpixel((0, 0)) for image in images])


@pytest.fixture(autouse=True)
def nothing_given():
    Colors.given, Bands.given = [], []


def plain(color, size=8):
    return np.full((size, size, 3), color, dtype=np.uint8)


def stripes(axis, size=8):
    image = np.zeros((size, size, 3), dtype=np.uint8)
    image[(slice(None),) * axis + (slice(None, None, 2),)] = 255
    return image


def tone(hertz, seconds=0.2, rate=RATE):
    return np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate).astype(np.float32)


def test_images_in_every_form_are_one_image(tmp_path):
    image_module = pytest.importorskip("PIL.Image")
    path = tmp_path / "red.png"
    red = plain((255, 0, 0))
    image_module.fromarray(red).save(path)
    forms = [red, red / 255.0, np.dstack([red, red[:, :, :1]]), image_module.fromarray(red)]
    forms += [path, str(path), image_module.fromarray(red).convert("P")]
    vectors = ImageEncoder(Colors(), cache=False).fit_transform(forms)
    assert_array_equal(vectors, np.tile(vectors[0], (len(forms), 1)))
    gray = ImageEncoder(Colors(), cache=False).fit_transform([red[:, :, 0]])
    assert_allclose(gray[0, :3], [3**-0.5] * 3, rtol=1e-6)


def test_sounds_in_every_form_are_one_sound(tmp_path):
    sound = tone(1000)
    as_int = np.round(sound * 32767).astype(np.int16)
    paths = [tmp_path / "mono.wav", tmp_path / "stereo.wav", tmp_path / "fast.wav"]
    wavfile.write(paths[0], RATE, as_int)
    wavfile.write(paths[1], RATE, np.column_stack([sound, sound]))
    wavfile.write(paths[2], 2 * RATE, tone(1000, rate=2 * RATE))
    forms = [sound, as_int, np.column_stack([sound, sound]), *paths]
    forms.append(np.round(sound * 127 + 128).astype(np.uint8))
    vectors = AudioEncoder(Bands(), sampling_rate=RATE, cache=False).fit_transform(forms)
    assert_allclose(vectors @ vectors[0], 1, atol=1e-3)
    assert set(Bands.given) == {len(sound)}


def test_missing_entries_are_zeros():
    encoder = ImageEncoder(Colors(), cache=False)
    red = plain((255, 0, 0))
    for entries in ([None, red, np.nan, ""], pd.Series([None, red, None, None], dtype=object)):
        vectors = encoder.fit_transform(entries)
        assert vectors.any(axis=1).tolist() == [False, True, False, False]
    assert_array_equal(encoder.fit_transform([None, None]), np.zeros((2, 5)))
    audio = AudioEncoder(Bands(), cache=False).fit_transform([None, tone(400)])
    assert audio.any(axis=1).tolist() == [False, True]
    assert encoder.get_feature_names_out().tolist() == [f"imageencoder{i}" for i in range(5)]


@pytest.mark.parametrize(
    "make",
    [list, lambda p: pd.DataFrame({"p": p}), lambda p: pl.Series(p), lambda p: np.array([p]).T],
)
def test_containers_of_paths(make, tmp_path):
    paths = [str(tmp_path / f"{i}.wav") for i in range(2)]
    for path, hertz in zip(paths, (300, 3000), strict=True):
        wavfile.write(path, RATE, tone(hertz))
    entries = make(paths) if not isinstance(make(paths), np.ndarray) else make(paths).astype(object)
    vectors = AudioEncoder(Bands(), sampling_rate=RATE, cache=False).fit_transform(entries)
    assert vectors.argmax(axis=1).tolist() == [0, 6]


def test_each_content_is_embedded_once_ever(tmp_path):
    encoder = ImageEncoder(Colors(), cache=tmp_path, batch_size=2)
    images = [plain((i, 0, 0)) for i in (10, 20, 30, 20, 10)]
    first = encoder.fit_transform(images)
    assert len(Colors.given) == 3
    again = clone(encoder).fit(images).transform(images[::-1])
    assert len(Colors.given) == 3
    assert_array_equal(again, first[::-1])
    sounds = [tone(500), tone(600)]
    AudioEncoder(Bands(), cache=tmp_path).fit_transform(sounds)
    AudioEncoder(Bands(), cache=tmp_path).fit_transform(sounds)
    assert len(Bands.given) == 2
    AudioEncoder(Bands(), cache=tmp_path, sampling_rate=RATE).fit_transform(sounds)
    assert len(Bands.given) == 4  # another rate is another sound
    path = tmp_path / "sound.wav"
    wavfile.write(path, RATE, tone(500))
    encoder = AudioEncoder(Bands(), cache=tmp_path, sampling_rate=RATE)
    before = encoder.fit_transform([path])
    wavfile.write(path, RATE, tone(3000))
    assert not np.allclose(encoder.transform([path]), before)  # files are known by content


def test_models_with_encode_get_images_of_pillow():
    pytest.importorskip("PIL")
    vectors = ImageEncoder(PillowModel(), normalize=False, cache=False).fit_transform(
        [plain((1, 2, 3)), plain((4, 5, 6))]
    )
    assert_array_equal(vectors, [[1, 2, 3], [4, 5, 6]])


def test_neighbours_by_look_and_sound():
    rng = np.random.default_rng(0)
    looks = [stripes(i % 2) // np.uint8(rng.integers(1, 4)) for i in range(8)]
    sounds = [tone(300 if i < 4 else 3000, seconds=0.1 + 0.01 * i) for i in range(8)]
    table = pd.DataFrame({"look": pd.Series(looks), "sound": pd.Series(sounds), "item": range(8)})
    both = ColumnTransformer(
        [
            ("look", ImageEncoder(Colors(), cache=False), "look"),
            ("sound", AudioEncoder(Bands(), sampling_rate=RATE, cache=False), "sound"),
        ]
    )
    vectors = both.fit_transform(table)
    assert vectors.shape == (8, 13)
    cosines = vectors @ vectors.T
    np.fill_diagonal(cosines, -1)
    # The nearest item has the same stripes and the same pitch.
    nearest = cosines.argmax(axis=1)
    assert (nearest % 2 == np.arange(8) % 2).all()
    assert ((nearest < 4) == (np.arange(8) < 4)).all()
    X = Interactions(np.eye(8)[:4], item_features=table)
    items, _ = ContentItemKNN(encoder=both).fit(X).recommend(X, k=1)
    assert (items[:, 0] % 2 == np.arange(4) % 2).all()
    assert (items[:, 0] < 4).all()


@pytest.mark.parametrize(
    ("entry", "error", "message"),
    [
        (np.zeros(3), ValueError, "must have the shape"),
        (np.zeros((2, 2, 5)), ValueError, "must have the shape"),
        (np.full((2, 2, 3), 7.0), ValueError, "floats from 0 to 1"),
        (np.full((2, 2, 3), np.nan), ValueError, "floats from 0 to 1"),
        (np.full((2, 2, 3), 300), ValueError, "of uint8 or of floats"),
        (5, TypeError, "must be a path, an array or an image"),
        (Path("no such file.png"), FileNotFoundError, "no such file"),
    ],
)
def test_strange_images_are_refused(entry, error, message):
    with pytest.raises(error, match=message):
        ImageEncoder(Colors(), cache=False).fit_transform([entry])


def test_strange_input_is_refused():
    with pytest.raises(TypeError, match="must be the path of a WAV file or an array"):
        AudioEncoder(Bands(), cache=False).fit_transform([5])
    with pytest.raises(ValueError, match="must have the shape"):
        AudioEncoder(Bands(), cache=False).fit_transform([np.zeros((1, 2, 3))])
    with pytest.raises(TypeError, match="pass \\[X\\]"):
        ImageEncoder(Colors(), cache=False).fit_transform("red.png")
    with pytest.raises(ValueError, match="one column"):
        ImageEncoder(Colors(), cache=False).fit_transform(pd.DataFrame({"a": [1], "b": [2]}))
    with pytest.raises(TypeError, match="must be a function"):
        ImageEncoder(5).fit()
    with pytest.raises(ValueError, match="one vector per image"):
        ImageEncoder(lambda images: [[1.0]], cache=False).fit_transform(
            [plain((1, 1, 1)), plain((2, 2, 2))]
        )
    with pytest.raises(ValueError, match="NaN or infinite values for 1 of 1 sounds"):
        AudioEncoder(lambda s: [[np.nan]] * len(s), cache=False).fit_transform([tone(5)])
