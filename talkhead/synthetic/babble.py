"""Synthetic speech and motion: syllables, head motion, blinks, gaze.

The voice is built from harmonics under a moving formant envelope plus bursts of noise. The mouth
follows the same syllables, so sound and lips belong together; the words mean nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from talkhead.synthetic.looks import Expression, Pose

SOUND_RATE = 16000
_CONTROL = 64  # samples between two settings of the formants


@dataclass(frozen=True)
class _Vowel:
    """Formants in Hz, and the mouth that makes them."""

    formants: tuple[float, float, float]
    mouth_open: float
    width: float
    roundness: float


@dataclass(frozen=True)
class _Consonant:
    """How the mouth stands; noise: band in Hz and loudness; voiced: loudness of the voice."""

    seconds: float
    mouth_open: float
    roundness: float
    noise: tuple[float, float, float]
    voiced: float


_VOWELS = (
    _Vowel((800, 1200, 2600), 0.85, 0.1, 0.0),
    _Vowel((500, 1850, 2500), 0.45, 0.5, 0.0),
    _Vowel((300, 2300, 3000), 0.22, 0.9, 0.0),
    _Vowel((500, 850, 2500), 0.5, -0.3, 0.65),
    _Vowel((320, 750, 2400), 0.22, -0.5, 1.0),
    _Vowel((520, 1500, 2500), 0.35, 0.0, 0.1),
)
_CONSONANTS = (
    _Consonant(0.08, 0.0, 0.0, (500, 1500, 0.0), 0.15),  # m
    _Consonant(0.09, 0.0, 0.0, (600, 2500, 0.25), 0.0),  # p
    _Consonant(0.08, 0.0, 0.0, (500, 1800, 0.12), 0.06),  # b
    _Consonant(0.07, 0.15, 0.0, (2500, 6000, 0.25), 0.0),  # t
    _Consonant(0.06, 0.2, 0.0, (300, 2500, 0.0), 0.2),  # l, n
    _Consonant(0.11, 0.1, 0.0, (4000, 7500, 0.16), 0.0),  # s
    _Consonant(0.12, 0.15, 0.6, (2000, 5000, 0.16), 0.0),  # sh
    _Consonant(0.09, 0.05, 0.0, (1000, 7000, 0.07), 0.0),  # f
    _Consonant(0.08, 0.3, 0.0, (1200, 2600, 0.2), 0.0),  # k
)


@dataclass(frozen=True)
class _Syllable:
    """A consonant from `start` and a vowel from `voiced` to `end` (seconds); stress 0 to 1."""

    start: float
    voiced: float
    end: float
    consonant: _Consonant
    vowel: _Vowel
    stress: float


@dataclass(frozen=True)
class Performance:
    """What happens in a clip.

    moments: one (pose, expression) per frame; sound: float32 (N,) in [-1, 1], mono, `SOUND_RATE`.
    """

    moments: list[tuple[Pose, Expression]]
    sound: np.ndarray


def perform(
    rng: np.random.Generator, times: np.ndarray, from_neutral: bool = False, lively: float = 1.0
) -> Performance:
    """Draw a performance for frames shown at `times` (seconds, rising from 0).

    from_neutral: the first frame looks straight ahead with the mouth shut and the eyes open.
    lively: scales the head's motion, 1 is ordinary conversation.
    """
    seconds = float(times[-1]) + float(times[-1] - times[-2] if len(times) > 1 else 0.04)
    syllables = _sentence(rng, seconds, 0.35 if from_neutral else float(rng.uniform(0, 0.6)))
    expressions = _faces(rng, times, syllables, from_neutral)
    poses = _poses(rng, times, syllables, from_neutral, lively)
    faces = [
        replace(face, gaze_x=float(np.clip(face.gaze_x - pose.yaw / 45, -1, 1)))
        for pose, face in zip(poses, expressions, strict=True)
    ]
    return Performance(list(zip(poses, faces, strict=True)), _voice(rng, syllables, seconds))


def _sentence(rng: np.random.Generator, seconds: float, begin: float) -> list[_Syllable]:
    """Phrases of syllables with pauses between."""
    syllables: list[_Syllable] = []
    now = begin
    while now < seconds - 0.3:
        for _ in range(rng.integers(4, 11)):
            consonant = _CONSONANTS[rng.integers(len(_CONSONANTS))]
            stress = float(rng.uniform() ** 2)
            voiced = now + consonant.seconds
            end = voiced + float(rng.uniform(0.08, 0.17)) + 0.1 * stress
            if end > seconds - 0.08:
                break
            vowel = _VOWELS[rng.integers(len(_VOWELS))]
            syllables.append(_Syllable(now, voiced, end, consonant, vowel, stress))
            now = end
        now += float(rng.uniform(0.25, 0.7))
    return syllables


def _faces(
    rng: np.random.Generator, times: np.ndarray, syllables: list[_Syllable], from_neutral: bool
) -> list[Expression]:
    """Mouth from the syllables; blinks, brows, gaze and mood beside them."""
    keys = [(0.0, 0.0, 0.0, 0.0)]  # time, open, width, round
    for syllable in syllables:
        sound, vowel, loud = syllable.consonant, syllable.vowel, 0.95 + 0.3 * syllable.stress
        if syllable.start - keys[-1][0] > 0.15:  # shut the mouth in pauses
            keys += [(keys[-1][0] + 0.1, 0.0, 0.0, 0.0), (syllable.start - 0.04, 0.03, 0.0, 0.0)]
        keys.append((syllable.start + 0.6 * sound.seconds, sound.mouth_open, 0.0, sound.roundness))
        for share in (0.3, 0.65):
            at = syllable.voiced + share * (syllable.end - syllable.voiced)
            keys.append((at, vowel.mouth_open * loud, vowel.width, vowel.roundness))
    if syllables:
        keys.append((syllables[-1].end + 0.1, 0.0, 0.0, 0.0))
    track = np.array(keys)
    fine = np.arange(0, times[-1] + 0.2, 0.01)
    kernel = np.hanning(7) / np.hanning(7).sum()
    mouth = [
        np.interp(
            times, fine, np.convolve(np.interp(fine, track[:, 0], track[:, k]), kernel, "same")
        )
        for k in (1, 2, 3)
    ]
    blink = _blinks(rng, times, from_neutral)
    smile = np.clip(_drift(rng, times, 0.12, 0.35) + rng.uniform(-0.1, 0.3), 0, 1)
    brows = np.clip(
        _drift(rng, times, 0.3, 0.25) + 0.5 * _accents(rng, times, syllables, 0.7), -0.6, 1
    )
    gaze_x, gaze_y = _glances(rng, times)
    start = np.clip(times / 0.4, 0, 1) if from_neutral else np.ones_like(times)
    tracks = {
        "mouth_open": np.clip(mouth[0], 0, 1),
        "mouth_width": mouth[1],
        "mouth_round": np.clip(mouth[2], 0, 1),
        "smile": start * smile,
        "brow_raise": start * brows,
        "gaze_x": start * gaze_x,
        "gaze_y": start * gaze_y,
        "blink_left": blink,
        "blink_right": blink,
    }
    moments = zip(*(track.tolist() for track in tracks.values()), strict=True)
    return [Expression(**dict(zip(tracks, moment, strict=True))) for moment in moments]


def _blinks(rng: np.random.Generator, times: np.ndarray, from_neutral: bool) -> np.ndarray:
    """Shut for about 0.2 s every 2 to 5 s, 0 to 1."""
    shut = np.zeros_like(times)
    now = float(rng.uniform(0.8, 2.0) if from_neutral else rng.uniform(0, 3))
    while now < times[-1]:
        half = float(rng.uniform(0.09, 0.12))
        shut = np.maximum(
            shut, np.clip(1.35 * np.cos(np.clip((times - now) / half, -1, 1) * np.pi / 2), 0, 1)
        )
        now += float(rng.uniform(2, 5))
    return shut


def _glances(rng: np.random.Generator, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Gaze that rests and jumps."""
    starts = np.cumsum(np.concatenate([[0.0], rng.uniform(0.5, 2.2, int(times[-1] / 0.5) + 2)]))
    jumps = (
        rng.normal(0, 1, (len(starts), 2))
        * (0.28, 0.16)
        * (rng.uniform(size=(len(starts), 1)) < 0.6)
    )
    at = np.searchsorted(starts, times, side="right") - 1
    return np.clip(jumps[at, 0], -0.8, 0.8), np.clip(jumps[at, 1], -0.6, 0.6)


def _drift(rng: np.random.Generator, times: np.ndarray, slow: float, amount: float) -> np.ndarray:
    """Smooth wandering of deviation `amount`: sines from around `slow` Hz upwards."""
    rates = slow * np.array([1.0, 1.9, 3.3, 5.1]) * rng.uniform(0.75, 1.3, 4)
    sizes = np.array([1.0, 0.6, 0.3, 0.12]) * rng.uniform(0.6, 1.4, 4)
    waves = np.sin(2 * np.pi * (times[:, None] * rates + rng.uniform(size=4)))
    return waves @ sizes * (amount / np.sqrt(0.5 * (sizes**2).sum()))


def _accents(
    rng: np.random.Generator, times: np.ndarray, syllables: list[_Syllable], share: float
) -> np.ndarray:
    """Bumps of 0 to 1 at stressed syllables, for nods and brows."""
    bumps = np.zeros_like(times)
    for syllable in syllables:
        if syllable.stress > 0.45 and rng.uniform() < share:
            bumps += syllable.stress * np.exp(-0.5 * ((times - syllable.voiced - 0.05) / 0.11) ** 2)
    return np.clip(bumps, 0, 1)


def _poses(
    rng: np.random.Generator,
    times: np.ndarray,
    syllables: list[_Syllable],
    from_neutral: bool,
    lively: float,
) -> list[Pose]:
    """Wandering around a resting pose, with nods on stressed syllables."""
    move = lively * rng.uniform(0.5, 1.4)
    sizes = np.array([11.0, 5.0, 4.0, 0.016, 0.012, 0.02]) * move
    rest = np.array([0, 0, 0, 0, 0, 1.0])
    if not from_neutral:
        rest += rng.normal(0, 1, 6) * np.array([9.0, 4.0, 3.0, 0.02, 0.015, 0.05])
    waves = np.stack([_drift(rng, times, 0.16, size) for size in sizes], -1)
    if from_neutral:
        waves -= waves[0]
    waves[:, 1] += 5.0 * lively * _accents(rng, times, syllables, 0.8)
    limits = np.array([42.0, 24.0, 22.0, 0.12, 0.08, 0.2])
    states = rest + limits * np.tanh(waves / limits)
    return [Pose(*(float(value) for value in state)) for state in states]


def _voice(rng: np.random.Generator, syllables: list[_Syllable], seconds: float) -> np.ndarray:
    """The sound of the syllables, float32 in [-1, 1]."""
    count = round(seconds * SOUND_RATE)
    time = np.arange(count) / SOUND_RATE
    hum, hiss, stress = np.zeros(count), np.zeros(count), np.zeros(count)
    keys, shapes = [0.0], [(500.0, 1500.0, 2500.0)]
    for syllable in syllables:
        sound, voiced = syllable.consonant, syllable.voiced
        here = slice(
            *(int(max(0, at) * SOUND_RATE) for at in (syllable.start - 0.1, syllable.end + 0.1))
        )
        now = time[here]
        vowel = _window(now, voiced - 0.02, syllable.end, 0.03) * (0.6 + 0.4 * syllable.stress)
        onset = sound.voiced * _window(now, syllable.start, voiced, 0.015)
        hum[here] = np.maximum(hum[here], np.maximum(vowel, onset))
        stress[here] += syllable.stress * np.exp(-(((now - voiced) / 0.1) ** 2))
        hiss[here] += _hiss(rng, now, syllable)
        for at in (0.3, 0.8):
            keys.append(voiced + at * (syllable.end - voiced))
            shapes.append(syllable.vowel.formants)
    formants = np.stack(
        [np.interp(time[::_CONTROL], keys, np.array(shapes)[:, k]) for k in range(3)]
    )
    pitch = float(rng.uniform(95, 215)) * (1 + _drift(rng, time, 0.9, 0.05) + 0.1 * stress)
    mixed = hum * _harmonics(pitch, formants) + hiss
    mixed /= max(1e-6, float(np.abs(mixed).max()))
    return (0.6 * mixed).astype(np.float32)


def _window(time: np.ndarray, start: float, end: float, edge: float) -> np.ndarray:
    return np.clip((time - start) / edge, 0, 1) * np.clip((end - time) / edge, 0, 1)


def _hiss(rng: np.random.Generator, time: np.ndarray, syllable: _Syllable) -> np.ndarray:
    """The consonant's burst of noise before the vowel, on the clock `time`."""
    sound, whole = syllable.consonant, np.zeros_like(time)
    low, high, loud = sound.noise
    stop = sound.mouth_open == 0 or sound.seconds < 0.085
    start = syllable.voiced - (0.03 if stop else sound.seconds)
    first, last = np.searchsorted(time, (start, syllable.voiced)).tolist()
    if loud and last - first > 8:
        spectrum = np.fft.rfft(rng.normal(size=last - first))
        rates = np.fft.rfftfreq(last - first, 1 / SOUND_RATE)
        spectrum[(rates < low) | (rates > high)] = 0
        burst = np.fft.irfft(spectrum, last - first) * np.hanning(last - first)
        whole[first:last] = loud * burst / (burst.std() + 1e-9)
    return whole


def _harmonics(pitch: np.ndarray, formants: np.ndarray) -> np.ndarray:
    """A pulse train as a sum of harmonics, each as loud as the formants make it.

    pitch: (N,) Hz; formants: (3, ceil(N / _CONTROL)) Hz.
    """
    turn = np.exp(2j * np.pi * np.cumsum(pitch) / SOUND_RATE)
    wave, total = np.ones_like(turn), np.zeros_like(pitch)
    widths, strengths = np.array([[70.0], [100.0], [150.0]]), np.array([[1.0], [0.6], [0.3]])
    fine, coarse = np.arange(len(pitch)), np.arange(0, len(pitch), _CONTROL)
    for number in range(1, int(4500 / pitch.min())):
        height = number * pitch[::_CONTROL]
        loud = (strengths / (1 + ((height - formants) / widths) ** 2)).sum(0) / number**0.5
        wave *= turn
        total += np.interp(fine, coarse, loud) * wave.imag
    return total
