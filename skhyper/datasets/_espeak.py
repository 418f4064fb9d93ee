"""Speak sentences with espeak-ng, in a process of its own.

The library keeps global state, so that what it says depends on what it said before,
and is not safe in threads: it is not loaded into the user's process. This file is run
as a script: a job comes in as JSON on standard input, and sounds with their phonemes
leave as JSON. It imports the standard library alone, so that it starts at once.
"""

from __future__ import annotations

import base64
import ctypes
import json
import sys
from pathlib import Path
from typing import Any

# Names and values of espeak-ng/speak_lib.h.
AUDIO_OUTPUT_SYNCHRONOUS = 2
EVENT_LIST_TERMINATED = 0
EVENT_PHONEME = 7
INITIALIZE_PHONEME_EVENTS = 0x0001
INITIALIZE_PHONEME_IPA = 0x0002
INITIALIZE_DONT_EXIT = 0x8000
CHARS_UTF8 = 1
POS_CHARACTER = 1
EE_OK = 0


class Event(ctypes.Structure):
    """What happens at a moment of the sound: espeak_EVENT."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        # A union of 8 bytes. Read as text it ends at a zero byte, if there is one.
        ("phoneme", ctypes.c_char * 8),
    )


Callback = ctypes.CFUNCTYPE(
    ctypes.c_int,
    ctypes.POINTER(ctypes.c_short),
    ctypes.c_int,
    ctypes.POINTER(Event),
)


class Speaker:
    """One voice of the library."""

    def __init__(self, library: str, voice: str) -> None:
        self.library = ctypes.CDLL(library)
        options = (
            INITIALIZE_PHONEME_EVENTS | INITIALIZE_PHONEME_IPA | INITIALIZE_DONT_EXIT
        )
        self.rate = self.library.espeak_Initialize(
            AUDIO_OUTPUT_SYNCHRONOUS, 0, None, options
        )
        if self.rate <= 0:
            raise RuntimeError("espeak-ng found no data: install espeak-ng-data.")
        if not self._has(voice):
            raise LookupError(voice)
        self._sound = bytearray()
        self._events: list[tuple[int, str]] = []
        # The library keeps a bare pointer: the attribute keeps the function alive.
        self._callback = Callback(self._receive)
        self.library.espeak_SetSynthCallback(self._callback)

    def _has(self, voice: str) -> bool:
        """Set the voice. The library itself passes over a variant that is missing."""
        self.library.espeak_Info.restype = ctypes.c_char_p
        data = ctypes.c_char_p()
        self.library.espeak_Info(ctypes.byref(data))
        folder = Path((data.value or b"").decode(), "voices", "!v")
        _, plus, variant = voice.partition("+")
        if plus and not (folder / variant).is_file():
            return False
        return bool(self.library.espeak_SetVoiceByName(voice.encode()) == EE_OK)

    def _receive(self, sound: Any, n_times: int, events: Any) -> int:
        """Keep a buffer of sound and its events, and ask for more."""
        if sound and n_times > 0:
            self._sound += ctypes.string_at(sound, 2 * n_times)
        index = 0
        while events[index].type != EVENT_LIST_TERMINATED:
            event = events[index]
            if event.type == EVENT_PHONEME:
                name = event.phoneme.decode("utf-8", "ignore")
                self._events.append((event.audio_position, name))
            index += 1
        return 0

    def say(self, text: str) -> tuple[bytes, list[tuple[int, str]]]:
        """Return 16-bit samples, and the start in ms and the name of each phoneme."""
        self._sound, self._events = bytearray(), []
        spoken = text.encode()
        status = self.library.espeak_Synth(
            spoken,
            ctypes.c_size_t(len(spoken) + 1),
            0,
            POS_CHARACTER,
            0,
            CHARS_UTF8,
            None,
            None,
        )
        if status != EE_OK:
            raise RuntimeError(f"espeak-ng did not say {text!r}: status {status}.")
        return bytes(self._sound), self._events


def answer(job: dict[str, Any]) -> dict[str, Any]:
    """Return what the voice says, or that the library does not have this voice."""
    try:
        speaker = Speaker(job["library"], job["voice"])
    except LookupError:
        return {"missing": job["voice"]}
    spoken = map(speaker.say, job["texts"])
    return {
        "rate": speaker.rate,
        "spoken": [(base64.b64encode(s).decode(), events) for s, events in spoken],
    }


if __name__ == "__main__":
    json.dump(answer(json.load(sys.stdin)), sys.stdout)
