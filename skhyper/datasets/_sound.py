"""Sounds whose content is known at every time step: made of tones, or spoken."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Iterable, Sequence
from ctypes.util import find_library
from math import gcd
from numbers import Integral
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.random import RandomState
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d
from scipy.signal import resample_poly
from sklearn.utils import Bunch, check_random_state, check_scalar

from skhyper.datasets._generated import _check_real
from skhyper.datasets._naics import _resource

TONES_RATE = 8000
PITCH = 120.0
BANDWIDTH = 100.0
# The ranges of the first three formants of speech, in Hz.
FORMANTS = ((250.0, 900.0), (900.0, 2400.0), (2400.0, 3600.0))
LOUDNESS = 0.2
CROSSFADE = TONES_RATE // 200

# Voices without echo, so that a pause is silent.
VOICES = ("en+m1", "en+m3", "en+m7", "en+f1", "en+belinda", "en+steph")
SILENCE = "_"
# Of full scale, and in seconds: what is below for as long is a pause.
QUIET = 1e-3
PAUSE = 0.01


def make_tones(
    n_samples: int = 100,
    n_times: int = 2048,
    *,
    n_states: int = 8,
    duration: int = 512,
    variation: float = 0.1,
    random_state: int | RandomState | None = None,
) -> Bunch:
    """Generate sounds that run through hidden states, as speech through phonemes.

    A state is a spectrum with three formants, as a vowel is. Three of four states are
    voiced: a harmonic tone, weighted by the formants. The others are noise with such
    a spectrum. A sound holds each state for a random time and then goes to any other.
    Pitch, loudness and the phases of the harmonics differ from sound to sound, so
    that equal states look different as wave forms and alike as spectra.

    Parameters
    ----------
    n_samples : int, default=100
        Number of sounds.
    n_times : int, default=2048
        Number of time steps of each sound, at 8000 a second.
    n_states : int, default=8
        Number of states, at least 2.
    duration : int, default=512
        Mean number >= 2 of time steps for which a state is held. The number is drawn
        uniformly from half to one and a half of it.
    variation : float, default=0.1
        Standard deviation >= 0 of the logarithm of pitch and of loudness from sound to
        sound. The phases are drawn anew for each sound in any case.
    random_state : int, RandomState instance or None, default=None
        Determines the states and the sounds. Pass an int for the same output at every
        call. See :term:`Glossary <random_state>`.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        Dictionary-like object, with the following attributes.

        data : ndarray of shape (n_samples, n_times), float64
            The sounds, in [-1, 1].
        states : ndarray of shape (n_samples, n_times), int64
            The state at every time step. Sounds fade from one state to the next in
            40 time steps about the change.
        formants : ndarray of shape (n_states, 3), float64
            The formants of each state in Hz.
        voiced : ndarray of shape (n_states,), bool
            Whether the state is a tone; else it is noise.
        sampling_rate : int
            8000, the time steps a second.

    Raises
    ------
    ValueError
        If a parameter is out of its range.
    TypeError
        If a parameter is not a number of its kind.

    See Also
    --------
    fetch_speech : Synthetic speech with its phonemes.

    Examples
    --------
    >>> from skhyper.datasets import make_tones
    >>> tones = make_tones(n_samples=4, n_states=5, random_state=0)
    >>> tones.data.shape, tones.states.shape
    ((4, 2048), (4, 2048))
    >>> tones.states[0, ::256]
    array([1, 2, 2, 0, 0, 2, 2, 2])
    >>> tones.voiced
    array([ True,  True,  True, False,  True])
    """
    check_scalar(n_samples, "n_samples", Integral, min_val=1)
    check_scalar(n_times, "n_times", Integral, min_val=1)
    check_scalar(n_states, "n_states", Integral, min_val=2)
    check_scalar(duration, "duration", Integral, min_val=2)
    _check_real(variation, "variation")
    random = check_random_state(random_state)

    # Spread evenly over each range, so that no two states share a formant.
    formants = np.column_stack(
        [random.permutation(np.linspace(*ends, n_states)) for ends in FORMANTS]
    )
    voiced = np.arange(n_states) % 4 != 3
    states = np.stack(
        [_walk(n_times, n_states, duration, random) for _ in range(n_samples)]
    )
    sounds = [_sing(path, formants, voiced, variation, random) for path in states]
    return Bunch(
        data=np.stack(sounds),
        states=states,
        formants=formants,
        voiced=voiced,
        sampling_rate=TONES_RATE,
    )


def _walk(
    n_times: int, n_states: int, duration: int, random: RandomState
) -> NDArray[np.int64]:
    """Return the state at every time step: held for a while, then any other."""
    shortest, longest = -(-duration // 2), 3 * duration // 2
    n_held = 2 + n_times // shortest
    # A step of 1 to n_states - 1 around the circle leads to every other state.
    steps = random.randint(1, n_states, size=n_held)
    steps[0] = random.randint(n_states)
    path = np.cumsum(steps) % n_states
    held = np.repeat(path, random.randint(shortest, longest + 1, size=n_held))
    # A sound starts in the middle of a state.
    start = random.randint(shortest)
    return held[start : start + n_times].astype(np.int64, copy=False)


def _sing(
    path: NDArray[np.int64],
    formants: NDArray[np.float64],
    voiced: NDArray[np.bool_],
    variation: float,
    random: RandomState,
) -> NDArray[np.float64]:
    """Return one sound: every state sounds all the time, and the path mixes them."""
    pitch = PITCH * np.exp(variation * random.normal())
    loudness = LOUDNESS * np.exp(variation * random.normal())
    sources = np.empty((len(formants), len(path)))
    sources[voiced] = _tones(pitch, formants[voiced], len(path), random)
    sources[~voiced] = _noises(formants[~voiced], len(path), random)
    present = (path == np.arange(len(formants))[:, None]).astype(np.float64)
    mixture = uniform_filter1d(present, CROSSFADE, mode="nearest")
    sound = loudness * np.sum(mixture * sources, axis=0)
    return sound / max(1.0, np.abs(sound).max())


def _envelope(
    frequencies: NDArray[np.floating], formants: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the amplitude of each state at each frequency: higher formants weaker."""
    offset = (frequencies - formants[..., None]) / BANDWIDTH
    strength = 1.0 / np.arange(1, formants.shape[1] + 1)
    return np.einsum("f,sfn->sn", strength, np.exp(-0.5 * offset**2))


def _tones(
    pitch: float, formants: NDArray[np.float64], n_times: int, random: RandomState
) -> NDArray[np.float64]:
    """Return a harmonic tone of unit power for each state."""
    harmonics = pitch * np.arange(1, np.ceil(TONES_RATE / 2 / pitch))
    weights = _envelope(harmonics, formants)
    weights /= np.sqrt(0.5 * np.sum(weights**2, axis=1, keepdims=True))
    phase = random.uniform(0, 2 * np.pi, size=len(harmonics))
    time = np.arange(n_times) / TONES_RATE
    return weights @ np.cos(2 * np.pi * harmonics[:, None] * time + phase[:, None])


def _noises(
    formants: NDArray[np.float64], n_times: int, random: RandomState
) -> NDArray[np.float64]:
    """Return noise of about unit power for each state."""
    # A sound shorter than a tenth of a second has too few frequencies for the formants.
    length = max(n_times, TONES_RATE // 10)
    frequencies = np.fft.rfftfreq(length, 1 / TONES_RATE)
    weights = _envelope(frequencies, formants)
    weights /= np.sqrt(np.mean(weights**2, axis=1, keepdims=True))
    white = np.fft.rfft(random.normal(size=(len(formants), length)))
    return np.fft.irfft(weights * white, n=length)[:, :n_times]


def fetch_speech(
    texts: int | Sequence[str] | None = None,
    *,
    voices: Sequence[str] = VOICES,
    sampling_rate: int = 8000,
    n_times: int = 2048,
) -> Bunch:
    """Speak sentences with the installed espeak-ng, and say which phoneme is when.

    Nothing is downloaded: the sounds are made by the speech synthesizer espeak-ng,
    which most Linux distributions offer (on Debian and Ubuntu:
    ``apt install libespeak-ng1``). Every voice says every text. A sound is cut into
    clips of `n_times` time steps, the last one filled up with silence.

    =====================   ==================================
    Samples                 about 4800
    Dimensionality          2048
    Features                real, in [-1, 1]
    Phonemes                49, silence included
    =====================   ==================================

    Parameters
    ----------
    texts : int, list of str or None, default=None
        What is said: the 80 short English sentences that ship with skhyper, the first
        few of them, or the given texts.
    voices : list of str, default=("en+m1", "en+m3", "en+m7", "en+f1", ...)
        Who speaks: names of espeak-ng's voices, each a language and perhaps a variant
        after a plus sign. ``espeak-ng --voices`` and ``espeak-ng --voices=variant``
        list them. MBROLA's voices are not supported.
    sampling_rate : int, default=8000
        Time steps a second. espeak-ng itself makes 22050.
    n_times : int, default=2048
        Number of time steps of a clip.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        Dictionary-like object, with the following attributes.

        data : ndarray of shape (n_clips, n_times), float32
            The sounds, in [-1, 1]. Clips of one text and voice follow one another;
            those that are silent throughout are left out.
        phonemes : ndarray of shape (n_clips, n_times), int64
            The phoneme at every time step, an index into `phoneme_names`.
        phoneme_names : list of str
            The phonemes that occur, in the International Phonetic Alphabet; the first
            is "_" for silence.
        speaker : ndarray of shape (n_clips,), int64
            The voice of each clip, an index into `speaker_names`.
        speaker_names : list of str
            The `voices`.
        text : ndarray of shape (n_clips,), int64
            The text that each clip is from, an index into `texts`.
        texts : list of str
            What is said.
        sampling_rate : int
            Time steps a second.

    Raises
    ------
    FileNotFoundError
        If espeak-ng's library is not installed.
    ValueError
        If a parameter is out of its range, espeak-ng lacks one of the `voices`, or
        nothing can be heard of the `texts`.
    TypeError
        If a parameter is not of its kind.
    RuntimeError
        If espeak-ng fails.

    See Also
    --------
    make_tones : Sounds with known states that need no synthesizer.

    Notes
    -----
    espeak-ng tells the start of a phoneme to the millisecond. It starts a stop such as
    /t/ at its burst, so that the closure before it is a pause. Silence is what stays
    60 dB below full scale for 10 ms. Voices with an echo, "en+f2" among them, have
    little of it: their pauses count as the phoneme before.

    One version of espeak-ng says the same at every call. The first texts sound alike
    whatever follows them, but a text's sound depends a little on those before it.

    References
    ----------
    .. [1] espeak-ng, a speech synthesizer: https://github.com/espeak-ng/espeak-ng

    Examples
    --------
    >>> from skhyper.datasets import fetch_speech
    >>> speech = fetch_speech(2, voices=["en+m1"])  # doctest: +SKIP
    >>> speech.data.shape  # doctest: +SKIP
    (22, 2048)
    """
    said = _check_texts(texts)
    names = _check_words(voices, "voices")
    check_scalar(sampling_rate, "sampling_rate", Integral, min_val=1)
    check_scalar(n_times, "n_times", Integral, min_val=1)
    library = _find_espeak()

    spoken = [_speak(library, voice, said) for voice in names]
    heard = {name for sounds in spoken for sound in sounds for _, name in sound.events}
    phoneme_names = [SILENCE, *sorted(heard)]
    number = {name: i for i, name in enumerate(phoneme_names)}

    clips, phonemes, sources = [], [], []
    for speaker, sounds in enumerate(spoken):
        for text, sound in enumerate(sounds):
            labels = _align(sound, number)
            wave, labels = _resample(sound, labels, sampling_rate)
            wave, labels = _cut(wave, labels, n_times)
            clips.append(wave)
            phonemes.append(labels)
            sources += [(speaker, text)] * len(wave)
    if not sources:
        raise ValueError("texts have nothing that can be heard. Pass words to speak.")
    by_speaker, by_text = np.array(sources, dtype=np.int64).T
    return Bunch(
        data=np.concatenate(clips),
        phonemes=np.concatenate(phonemes),
        phoneme_names=phoneme_names,
        speaker=by_speaker,
        speaker_names=names,
        text=by_text,
        texts=said,
        sampling_rate=int(sampling_rate),
    )


class _Sound(NamedTuple):
    """What was said: samples in [-1, 1], and the start in ms and name of phonemes."""

    wave: NDArray[np.float32]
    events: list[tuple[int, str]]
    rate: int

    @classmethod
    def from_answer(
        cls, samples: str, events: list[tuple[int, str]], rate: int
    ) -> _Sound:
        """Read 16-bit samples in base64, and those events that have a name."""
        wave = np.frombuffer(base64.b64decode(samples), dtype=np.int16)
        # Pauses and the glide from one vowel into the next have no name in IPA. The
        # glide belongs to the vowel before; a pause is heard.
        named = [(ms, name) for ms, name in events if name]
        return cls((wave / 2**15).astype(np.float32), named, rate)


def _check_texts(texts: int | Sequence[str] | None) -> list[str]:
    """Return the texts, or the first of those that ship."""
    if texts is not None and not isinstance(texts, Integral):
        return _check_words(texts, "texts")
    sentences = _resource("sentences.txt").read_text(encoding="utf-8").splitlines()
    if texts is not None:
        check_scalar(texts, "texts", Integral, min_val=1, max_val=len(sentences))
    return sentences[:texts]


def _check_words(words: Any, name: str) -> list[str]:
    """Return a list of str, or raise an error that names the parameter."""
    listed = list(words) if isinstance(words, Iterable) else [words]
    if isinstance(words, str) or not all(isinstance(word, str) for word in listed):
        raise TypeError(f"{name} must be a list of str, got {words!r}.")
    if not listed:
        raise ValueError(f"{name} is empty. Pass at least one.")
    return listed


def _find_espeak() -> str:
    """Return the name of espeak-ng's library, or raise a FileNotFoundError."""
    library = find_library("espeak-ng") or find_library("libespeak-ng")
    if library is None:
        raise FileNotFoundError(
            "fetch_speech needs the speech synthesizer espeak-ng, whose library was "
            "not found. Install it (Debian and Ubuntu: apt install libespeak-ng1), or "
            "take skhyper.datasets.make_tones, which needs nothing."
        )
    return library


def _speak(library: str, voice: str, texts: list[str]) -> list[_Sound]:
    """Let a process of its own speak the texts; `_espeak` says why."""
    job = json.dumps({"library": library, "voice": voice, "texts": texts})
    script = Path(__file__).with_name("_espeak.py")
    done = subprocess.run(
        [sys.executable, "-I", script], input=job.encode(), capture_output=True
    )
    if done.returncode:
        raise RuntimeError(
            f"espeak-ng failed with status {done.returncode}: "
            f"{done.stderr.decode(errors='replace').strip()}"
        )
    answer = json.loads(done.stdout)
    if "missing" in answer:
        raise ValueError(
            f"voices has {voice!r}, which espeak-ng lacks. "
            "See espeak-ng --voices and espeak-ng --voices=variant."
        )
    return [
        _Sound.from_answer(samples, events, answer["rate"])
        for samples, events in answer["spoken"]
    ]


def _align(sound: _Sound, number: dict[str, int]) -> NDArray[np.int64]:
    """Return the phoneme of every sample: 0 before the first one and in pauses."""
    starts = [ms * sound.rate / 1000 for ms, _ in sound.events]
    phonemes = np.array([0, *(number[name] for _, name in sound.events)], np.int64)
    since = np.searchsorted(starts, np.arange(len(sound.wave)), side="right")
    return np.where(_pauses(sound), 0, phonemes[since])


def _pauses(sound: _Sound) -> NDArray[np.bool_]:
    """Return which samples are part of a pause."""
    quiet = np.abs(sound.wave) < QUIET
    edges = np.flatnonzero(np.diff(quiet, prepend=False, append=False))
    pauses = np.zeros(len(quiet), dtype=bool)
    for start, stop in edges.reshape(-1, 2):
        pauses[start:stop] = stop - start >= PAUSE * sound.rate
    return pauses


def _resample(
    sound: _Sound, labels: NDArray[np.int64], sampling_rate: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return wave and labels at another rate."""
    if not len(labels):
        return sound.wave, labels
    common = gcd(sound.rate, sampling_rate)
    wave = resample_poly(sound.wave, sampling_rate // common, sound.rate // common)
    at = np.arange(len(wave)) * sound.rate // sampling_rate
    # The filter rings a little past the loudest sample.
    return np.clip(wave, -1, 1).astype(np.float32, copy=False), labels[at]


def _cut(
    wave: NDArray[np.float32], labels: NDArray[np.int64], n_times: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return the clips in which something is heard, filled up with silence."""
    missing = -len(wave) % n_times
    clips = np.pad(wave, (0, missing)).reshape(-1, n_times)
    phonemes = np.pad(labels, (0, missing)).reshape(-1, n_times)
    heard = phonemes.any(axis=1)
    return clips[heard], phonemes[heard]
