"""Tones against the laws they promise; speech against a fake espeak-ng and the real."""

import base64
import ctypes
import json
import subprocess

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from skhyper.datasets import _espeak, _sound
from skhyper.datasets._sound import fetch_speech, make_tones

RATE = 22050


def windows(tones, width=256):
    """Stretches of one state, and that state."""
    sounds, states = (
        np.lib.stride_tricks.sliding_window_view(array, width, axis=1)[:, ::64]
        for array in (tones.data, tones.states)
    )
    single = (states == states[..., :1]).all(axis=-1)
    return sounds[single], states[single][:, 0]


def agreement(X, y, n_states):
    """Accuracy of the nearest centroid, learnt on one half and tried on the other."""
    half = len(y) // 2
    centers = np.array([X[:half][y[:half] == s].mean(axis=0) for s in range(n_states)])
    nearest = np.linalg.norm(X[half:, None] - centers, axis=2).argmin(axis=1)
    return np.mean(nearest == y[half:])


def runs(path):
    """Length of each stretch of equal values."""
    return np.diff(np.flatnonzero(np.diff(path, prepend=-1, append=-1)))


def test_tones_have_their_shapes_and_ranges():
    tones = make_tones(30, 1500, n_states=7, random_state=0)
    assert tones.data.shape == tones.states.shape == (30, 1500)
    assert tones.data.dtype == np.float64
    assert tones.states.dtype == np.int64
    assert set(tones.states.ravel()) == set(range(7))
    assert tones.formants.shape == (7, 3)
    assert_array_equal(tones.voiced, [True, True, True, False, True, True, True])
    assert tones.sampling_rate == 8000
    assert 0.1 < tones.data.std() < 0.3
    # Very loud sounds are turned down, none is cut off.
    loud = make_tones(60, variation=1.0, random_state=0).data
    peaks = np.abs(loud).max(axis=1)
    assert peaks.max() == 1.0
    assert np.all(np.sum(np.abs(loud) == 1.0, axis=1) <= 1)


def test_the_spectrum_tells_the_state_and_the_wave_form_does_not():
    tones = make_tones(60, random_state=0)
    sounds, states = windows(tones)
    spectra = np.log(0.05 + np.abs(np.fft.rfft(sounds * np.hanning(256), axis=1)))
    assert agreement(spectra, states, 8) > 0.97
    assert agreement(sounds, states, 8) < 0.5


def test_states_are_loudest_at_their_formants():
    tones = make_tones(80, variation=0.05, random_state=0)
    sounds, states = windows(tones, 512)
    frequencies = np.fft.rfftfreq(512, 1 / 8000)
    for state, formants in enumerate(tones.formants):
        power = np.mean(np.abs(np.fft.rfft(sounds[states == state])) ** 2, axis=0)
        near = np.abs(frequencies - formants[:, None]) < 200
        assert power[near.any(axis=0)].sum() > 0.95 * power.sum()
        # Amplitudes fall as 1, 1/2, 1/3.
        assert power[near[0]].max() > power[near[1]].max() > power[near[2]].max()


def test_voiced_states_repeat_at_the_pitch_and_noise_does_not():
    tones = make_tones(
        10, 4000, n_states=4, variation=0.0, duration=4000, random_state=0
    )
    sounds, states = windows(tones, 800)
    # 120 Hz: three periods are 200 time steps.
    repeats = np.array([np.corrcoef(s[:-200], s[200:])[0, 1] for s in sounds])
    voiced = tones.voiced[states]
    assert np.all(repeats[voiced] > 0.95)
    assert np.all(repeats[~voiced] < 0.7)


@pytest.mark.parametrize("duration", [2, 3, 100, 501])
def test_states_are_held_for_half_to_one_and_a_half_of_their_duration(duration):
    tones = make_tones(40, 20 * duration, n_states=3, duration=duration)
    for path in tones.states:
        held = runs(path)
        assert np.all(held <= 1.5 * duration)
        assert np.all(held[1:-1] >= 0.5 * duration)


def test_every_state_follows_every_other():
    tones = make_tones(50, 3000, n_states=4, duration=50, random_state=0)
    before, after = tones.states[:, :-1].ravel(), tones.states[:, 1:].ravel()
    change = before != after
    counts = np.zeros((4, 4))
    np.add.at(counts, (before[change], after[change]), 1)
    others = counts[~np.eye(4, dtype=bool)]
    assert others.min() > 0.7 * others.mean()


def test_variation_is_that_of_pitch_and_loudness():
    settings = {"n_states": 4, "duration": 4000, "random_state": 0}
    still, varied = (
        make_tones(200, 2000, variation=v, **settings).data for v in (0.0, 0.3)
    )
    spread = [np.log(np.sqrt(np.mean(x**2, axis=1))).std() for x in (still, varied)]
    assert spread[0] < 0.1
    assert spread[1] == pytest.approx(0.3, abs=0.06)
    assert not np.allclose(still[0], still[1])


def test_no_clicks_between_states():
    tones = make_tones(50, duration=200, random_state=0)
    steps = np.abs(np.diff(tones.data, axis=1))
    change = np.diff(tones.states, axis=1) != 0
    assert steps[change].mean() < 1.2 * steps[~change].mean()


def test_random_state_decides_and_the_global_generator_is_left_alone():
    np.random.seed(3)
    before = np.random.get_state()[1].copy()
    first = make_tones(5, random_state=0)
    again = make_tones(5, random_state=np.random.RandomState(0))
    assert_array_equal(np.random.get_state()[1], before)
    for key in ("data", "states", "formants"):
        assert_array_equal(first[key], again[key])
    assert not np.array_equal(first.data, make_tones(5, random_state=1).data)


@pytest.mark.parametrize("n_times", [1, 2, 39, 801])
def test_short_sounds_are_finite(n_times):
    tones = make_tones(3, n_times, n_states=2, duration=2, random_state=0)
    assert tones.data.shape == (3, n_times)
    assert np.all(np.isfinite(tones.data))


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"n_samples": 0}, ValueError, "n_samples == 0, must be >= 1"),
        ({"n_times": 0}, ValueError, "n_times == 0, must be >= 1"),
        ({"n_times": 5.0}, TypeError, "n_times must be an instance"),
        ({"n_states": 1}, ValueError, "n_states == 1, must be >= 2"),
        ({"duration": 1}, ValueError, "duration == 1, must be >= 2"),
        ({"variation": -0.1}, ValueError, "variation == -0.1, must be >= 0"),
        ({"variation": np.inf}, ValueError, "variation must be finite, got inf"),
        ({"variation": "a"}, TypeError, "variation must be an instance"),
    ],
)
def test_bad_parameters_of_tones_are_named(parameters, error, message):
    with pytest.raises(error, match=message):
        make_tones(**parameters)


def sound(wave, events=(), rate=RATE):
    return _sound._Sound(np.asarray(wave, dtype=np.float32), list(events), rate)


def test_phonemes_start_at_their_events():
    spoken = sound(np.ones(10), [(2, "a"), (5, "t"), (5, "i")], rate=1000)
    labels = _sound._align(spoken, {"_": 0, "a": 1, "i": 2, "t": 3})
    assert_array_equal(labels, [0, 0, 1, 1, 1, 2, 2, 2, 2, 2])
    assert labels.dtype == np.int64


def test_quiet_of_ten_milliseconds_is_silence_and_less_is_not():
    wave = np.full(100, 0.5)
    wave[20:30] = 5e-4  # ten samples: a pause
    wave[50:59] = 0.0  # nine: a pause too short
    wave[95:] = 0.0
    labels = _sound._align(sound(wave, [(0, "a")], rate=1000), {"a": 1})
    expected = np.ones(100)
    expected[20:30] = 0
    assert_array_equal(labels, expected)


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 30)), min_size=1))
def test_pauses_are_the_long_quiet_runs(parts):
    wave = np.concatenate([np.full(n, 0.0 if quiet else -0.2) for quiet, n in parts])
    quiet = list(wave == 0)
    expected, start = [], 0
    while start < len(quiet):
        stop = start
        while stop < len(quiet) and quiet[stop] == quiet[start]:
            stop += 1
        expected += [quiet[start] and stop - start >= 10] * (stop - start)
        start = stop
    assert_array_equal(_sound._pauses(sound(wave, rate=1000)), expected)


@given(st.integers(1, 3000), st.sampled_from([8000, 11025, 16000, 22050, 44100]))
def test_labels_keep_their_time_at_another_rate(n_times, rate):
    marks = np.arange(n_times)
    wave, labels = _sound._resample(sound(np.zeros(n_times)), marks, rate)
    assert len(wave) == len(labels)
    assert abs(len(wave) / rate - n_times / RATE) <= 1 / rate
    assert np.all(np.abs(labels / RATE - np.arange(len(labels)) / rate) < 1 / RATE)


def test_resampling_keeps_a_tone_and_its_range():
    seconds = np.arange(RATE) / RATE
    wave, _ = _sound._resample(
        sound(0.5 * np.sin(2 * np.pi * 440 * seconds)), np.zeros(RATE, int), 8000
    )
    assert wave.dtype == np.float32
    expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(8000) / 8000)
    assert_allclose(wave[200:-200], expected[200:-200], atol=2e-3)
    square = sound(np.sign(np.sin(2 * np.pi * 440 * seconds)))
    wave, _ = _sound._resample(square, np.zeros(RATE, int), 8000)
    assert np.abs(wave).max() == 1.0


def test_clips_are_filled_up_and_silent_ones_left_out():
    wave = np.arange(1, 11, dtype=np.float32)
    labels = np.array([1, 1, 1, 0, 0, 0, 0, 2, 1, 1])
    clips, phonemes = _sound._cut(wave, labels, 3)
    assert_array_equal(clips, [[1, 2, 3], [7, 8, 9], [10, 0, 0]])
    assert_array_equal(phonemes, [[1, 1, 1], [0, 2, 1], [1, 0, 0]])
    clips, phonemes = _sound._cut(wave[:0], labels[:0], 3)
    assert clips.shape == phonemes.shape == (0, 3)


def test_a_missing_library_names_the_package_and_the_alternative(monkeypatch):
    monkeypatch.setattr(_sound, "find_library", lambda name: None)
    with pytest.raises(FileNotFoundError, match=r"apt install libespeak-ng1.*make_ton"):
        fetch_speech()


@pytest.fixture
def no_library(monkeypatch):
    """A voice that says each letter for 0.1 s: vowels loud, blanks silent."""

    def speak(library, voice, texts):
        pitch = 100 * (1 + len(voice))
        tone = np.sin(2 * np.pi * pitch * np.arange(2205) / RATE)
        loudness = {" ": 0.0, "a": 0.8, "i": 0.6}
        return [
            sound(
                np.concatenate([loudness.get(c, 0.1) * tone for c in text] or [[]]),
                [(100 * i, c) for i, c in enumerate(text) if c != " "],
            )
            for text in texts
        ]

    monkeypatch.setattr(_sound, "_find_espeak", lambda: "fake")
    monkeypatch.setattr(_sound, "_speak", speak)


@pytest.mark.usefixtures("no_library")
def test_speech_knows_phoneme_speaker_and_text_of_every_clip():
    texts = ["ta ti", "m    a"]
    speech = fetch_speech(texts, voices=("x", "yy"), sampling_rate=7350, n_times=735)
    assert speech.phoneme_names == ["_", "a", "i", "m", "t"]
    assert speech.speaker_names == ["x", "yy"]
    assert speech.texts == texts
    assert speech.sampling_rate == 7350
    # A clip is a letter; those of blanks are gone.
    said = [(0, "t"), (0, "a"), (0, "t"), (0, "i"), (1, "m"), (1, "a")]
    assert_array_equal(speech.text, [text for text, _ in said] * 2)
    assert_array_equal(speech.speaker, [0] * 6 + [1] * 6)
    letters = [speech.phoneme_names[p] for p in speech.phonemes[:, 367]]
    assert letters == [letter for _, letter in said] * 2
    assert np.mean(speech.phonemes == speech.phonemes[:, 367:368]) > 0.99
    assert speech.data.shape == speech.phonemes.shape == (12, 735)
    assert speech.data.dtype == np.float32
    assert speech.phonemes.dtype == speech.speaker.dtype == speech.text.dtype
    assert speech.phonemes.dtype == np.int64
    loud = np.abs(speech.data[:, 100:-100]).max(axis=1)
    assert_allclose(loud[:6], [0.1, 0.8, 0.1, 0.6, 0.1, 0.8], rtol=0.02)


@pytest.mark.usefixtures("no_library")
def test_texts_that_ship_are_plain_and_their_number_can_be_chosen():
    every = fetch_speech(voices=["x"]).texts
    assert len(every) == len(set(every)) == 80
    assert fetch_speech(3, voices=["x"]).texts == every[:3]
    for text in every:
        assert text.isascii()
        assert text[0].isupper()
        assert text.endswith((".", "?"))
        assert len(text) < 70


@pytest.mark.usefixtures("no_library")
@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"texts": 0}, ValueError, "texts == 0, must be >= 1"),
        ({"texts": 81}, ValueError, "texts == 81, must be <= 80"),
        ({"texts": "ta"}, TypeError, "texts must be a list of str, got 'ta'"),
        ({"texts": 2.5}, TypeError, "texts must be a list of str, got 2.5"),
        ({"texts": []}, ValueError, "texts is empty"),
        ({"texts": ["", "   "]}, ValueError, "texts have nothing that can be heard"),
        ({"voices": "en"}, TypeError, "voices must be a list of str, got 'en'"),
        ({"voices": ["en", 3]}, TypeError, "voices must be a list of str"),
        ({"voices": []}, ValueError, "voices is empty"),
        ({"sampling_rate": 0}, ValueError, "sampling_rate == 0, must be >= 1"),
        ({"n_times": 0}, ValueError, "n_times == 0, must be >= 1"),
        ({"n_times": 1.5}, TypeError, "n_times must be an instance"),
    ],
)
def test_bad_parameters_of_speech_are_named(parameters, error, message):
    with pytest.raises(error, match=message):
        fetch_speech(**parameters)


def test_a_process_that_fails_says_why():
    with pytest.raises(RuntimeError, match=r"failed with status 1: (.|\n)*libnothing"):
        _sound._speak("libnothing.so.0", "en", ["Hello."])


def test_the_answer_of_the_process_is_read(monkeypatch):
    samples = np.array([0, 2**14, -(2**15)], dtype=np.int16).tobytes()
    spoken = [(base64.b64encode(samples).decode(), [(0, "a"), (1, ""), (2, "t")])]
    answers = iter([{"rate": RATE, "spoken": spoken}, {"missing": "xx"}])

    def run(command, **options):
        output = json.dumps(next(answers)).encode()
        return subprocess.CompletedProcess(command, 0, stdout=output)

    monkeypatch.setattr(subprocess, "run", run)
    (read,) = _sound._speak("library", "en", ["A."])
    assert_array_equal(read.wave, [0, 0.5, -1])
    assert read.wave.dtype == np.float32
    # What has no name is part of what comes before.
    assert [tuple(event) for event in read.events] == [(0, "a"), (2, "t")]
    assert read.rate == RATE
    with pytest.raises(ValueError, match="voices has 'xx', which espeak-ng lacks"):
        _sound._speak("library", "xx", ["A."])


class Info:
    """A function with a restype, as ctypes has them."""

    def __init__(self, folder):
        self.folder = folder

    def __call__(self, pointer):
        pointer._obj.value = str(self.folder).encode()


class FakeLibrary:
    """What `_espeak` needs of libespeak-ng, in Python."""

    def __init__(self, folder, rate=RATE):
        self.rate = rate
        self.espeak_Info = Info(folder)

    def espeak_Initialize(self, output, length, path, options):
        assert (output, length, path, options) == (2, 0, None, 0x8003)
        return self.rate

    def espeak_SetVoiceByName(self, name):
        return 0 if name.startswith(b"en") else 2

    def espeak_SetSynthCallback(self, callback):
        self.callback = callback

    def espeak_Synth(self, text, size, start, kind, end, flags, identifier, data):
        assert size.value == len(text) + 1
        assert (start, kind, end, flags) == (0, 1, 0, 1)
        if text == b"fail":
            return -1
        names = [letter.encode() for letter in text.decode()]
        for i, name in enumerate(names):
            buffer = (ctypes.c_short * 3)(i, i, i)
            word = _espeak.Event(type=1, audio_position=i, phoneme=b"\1")
            phoneme = _espeak.Event(type=7, audio_position=i, phoneme=name)
            self.callback(buffer, 3, (_espeak.Event * 3)(word, phoneme))
        self.callback(None, 0, (_espeak.Event * 1)())
        return 0


@pytest.fixture
def fake(monkeypatch, tmp_path):
    """A library with the variant f1."""
    (tmp_path / "voices" / "!v").mkdir(parents=True)
    (tmp_path / "voices" / "!v" / "f1").touch()
    library = FakeLibrary(tmp_path)
    monkeypatch.setattr(ctypes, "CDLL", lambda name: library)
    return library


@pytest.mark.usefixtures("fake")
def test_the_library_is_asked_and_its_buffers_joined():
    job = {"library": "x", "voice": "en+f1", "texts": ["ab", "", "\u0283"]}
    answer = json.loads(json.dumps(_espeak.answer(job)))
    assert answer["rate"] == RATE
    waves = [
        np.frombuffer(base64.b64decode(samples), np.int16)
        for samples, _ in answer["spoken"]
    ]
    assert [wave.tolist() for wave in waves] == [[0, 0, 0, 1, 1, 1], [], [0, 0, 0]]
    events = [events for _, events in answer["spoken"]]
    assert events == [[[0, "a"], [1, "b"]], [], [[0, "\u0283"]]]


@pytest.mark.usefixtures("fake")
@pytest.mark.parametrize("voice", ["xx", "xx+f1", "en+f9", "en+"])
def test_voices_and_variants_that_are_missing_are_reported(voice):
    job = {"library": "x", "voice": voice, "texts": ["ab"]}
    assert _espeak.answer(job) == {"missing": voice}


def test_failures_of_the_library_are_errors(fake):
    job = {"library": "x", "voice": "en", "texts": ["fail"]}
    with pytest.raises(RuntimeError, match="did not say 'fail': status -1"):
        _espeak.answer(job)
    fake.rate = -1
    with pytest.raises(RuntimeError, match="found no data: install espeak-ng-data"):
        _espeak.answer(job)


@pytest.fixture(scope="module")
def speech():
    """Every text, by two of the voices."""
    try:
        _sound._find_espeak()
    except FileNotFoundError as error:
        pytest.skip(str(error))
    return fetch_speech(voices=["en+m1", "en+f1"])


def loudness(speech, names):
    """Root mean square of all time steps of these phonemes."""
    rows = [speech.phoneme_names.index(name) for name in names]
    return np.sqrt(np.mean(speech.data[np.isin(speech.phonemes, rows)] ** 2))


def test_real_speech_has_its_shapes_and_ranges(speech):
    assert speech.data.shape == speech.phonemes.shape
    assert speech.data.shape[1] == 2048
    assert len(speech.data) > 1000
    assert np.abs(speech.data).max() <= 1.0
    assert set(speech.speaker) == {0, 1}
    assert set(speech.text) == set(range(80))
    assert np.all(speech.phonemes.any(axis=1))
    assert set(speech.phonemes.ravel()) == set(range(len(speech.phoneme_names)))


def test_real_speech_covers_english(speech):
    consonants = "p b t d k \u0261 m n \u014b f v \u03b8 \xf0 s z \u0283 \u0292 h l"
    assert set(consonants.split()) < set(speech.phoneme_names)
    assert 40 < len(speech.phoneme_names) < 70
    share = np.bincount(speech.phonemes.ravel()) / speech.phonemes.size
    assert 0.05 < share[0] < 0.3
    assert share[1:].max() < 0.1


def test_real_vowels_are_loud_stops_quiet_and_silence_silent(speech):
    vowels = loudness(speech, ["a", "e\u026a", "i\u02d0", "\u0254\u02d0", "\u0259"])
    stops = loudness(speech, ["p", "t", "k"])
    assert vowels > 3 * stops
    assert stops > 10 * loudness(speech, ["_"])


@pytest.mark.usefixtures("speech")
def test_real_sibilants_are_high_wherever_their_labels_stand():
    speech = fetch_speech(20, voices=["en+m1"], sampling_rate=16000)

    def center(name):
        inside = speech.phonemes == speech.phoneme_names.index(name)
        at, cut = (
            np.lib.stride_tricks.sliding_window_view(array, 320, axis=1)[:, ::80]
            for array in (inside, speech.data)
        )
        power = np.abs(np.fft.rfft(cut[at.all(axis=-1)])) ** 2
        return np.average(np.fft.rfftfreq(320, 1 / 16000), weights=power.mean(axis=0))

    assert center("s") > 4000
    assert center("\u0283") > 3000
    assert center("\u0254\u02d0") < 1500
    assert center("n") < 1000


def test_real_speech_is_the_same_at_every_call_and_does_not_depend_on_others(speech):
    again = fetch_speech(3, voices=["en+f1"])
    same = (speech.speaker == 1) & (speech.text < 3)
    assert_array_equal(again.data, speech.data[same])
    names = np.array(speech.phoneme_names)[speech.phonemes[same]]
    assert_array_equal(np.array(again.phoneme_names)[again.phonemes], names)


@pytest.mark.usefixtures("speech")
@pytest.mark.parametrize("voice", ["xx", "en+nobody"])
def test_real_voices_that_are_missing_are_named(voice):
    with pytest.raises(ValueError, match="which espeak-ng lacks"):
        fetch_speech(1, voices=["en", voice])
