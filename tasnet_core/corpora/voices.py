"""Speech for the corpus that needs no download, spoken by espeak-ng.

espeak-ng is a separate GPL-3 library, called through ctypes as the wheel `espeakng-loader` brings it. It runs
in a process of its own: its noise depends on state that no call resets, so only a fresh process that is given
the same sentences in the same order speaks them the same, bit for bit.
"""

import ctypes
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tasnet_core.errors import CorpusError

RATE_HZ = 22050  # espeak-ng's own rate
EDITION = 1  # raised when the same script would sound different

# Voice variants of espeak-ng whose file says which sex they have and which sound like a person (no whisper,
# croak or robot). A variant speaks in one split only; variants with nearly the same formants are in the same
# split (f2 and f5, aunty and f4, belinda and linda, the two stephs, Diogo and Henrique, Denis and victor).
VARIANTS: dict[str, dict[str, tuple[str, ...]]] = {
    "train": {
        "F": ("Alicia", "aunty", "belinda", "f1", "f3", "f4", "linda", "steph", "steph2"),
        "M": ("Denis", "Diogo", "Henrique", "m1", "m3", "m4", "m6", "m7", "michel", "miguel", "sandro",
              "victor"),
    },
    "valid": {"F": ("Annie", "grandma"), "M": ("Marco", "m5")},
    "test": {"F": ("Andrea", "anika", "f2", "f5"), "M": ("antonio", "m2", "m8")},
}

# Languages that read Latin letters, each with its own sounds and melody.
LANGUAGES = (
    "en-us", "de", "es", "pl", "en-gb-scotland", "it", "nl", "pt", "fr", "sv", "ro", "fi", "cs", "ca", "tr",
    "hr")

# Everyday words of our own choice, of several languages, without accents.
_TEXT = """
about after again air along always animal answer apple arm around autumn away baby back bag ball banana bank
basket beach bed bell beside better between bicycle big bird black blue boat body book both bottle bowl box
boy branch bread breakfast brick bridge bright bring broken brother brown brush build busy butter button
cable cake call camera candle carpet carry castle chair change cheap cheese cherry chicken child choose
church circle city clean clever clock close cloud coat coffee cold colour corner cotton count country cousin
cow cross cup curtain daily dance danger dark daughter day deep desk different dinner doctor dog donkey door
double down dream dress drink drive dry duck dust each early earth easy edge egg eight elbow empty engine
enjoy evening every eye face family far farmer fast father feather fence field fifteen finger finish fire
fish five flag floor flower fly follow food forest fork forty forward four fox fresh friend front fruit full
funny garden garlic gentle gift girl give glass glove goat gold good grandfather grape grass green grey
ground group guest guitar hair half hammer hand happy hat head hear heavy help hill history hold holiday home
honey hope horse hot hour house hundred ice island jacket jam job join journey juice jump june jungle keep
kettle key kind king kitchen knife ladder lake lamp language large last laugh leaf learn leave left lemon
letter light line lion listen little live long look loud love low lunch machine make many map market match
meadow measure meat meet melon middle milk million minute mirror money monkey month moon morning mother
mountain mouse mouth move much music nail name narrow near neck needle never new next night nine noise noon
north nose nothing number ocean office often oil old onion only open orange other outside over owl own paint
paper park part path peach pear pencil people pepper phone photo piano picture piece pillow pink pipe plane
plant plate play please pocket potato press pretty price purple push quarter queen question quick quiet
rabbit radio rain ready red rest rice ride right ring river road rock roof room root rope rose round salt
same sand school season seven shadow shape sharp sheep shell ship shirt shoe shop short shoulder silver
simple sing sister six sky sleep slow small smile smoke snow soap soft song soon soup south speak spider
spoon spring square stable stairs star station stone storm story straight street strong sugar summer sun
sweet swim table tail tall teacher thank thick thin thing think third thousand three thumb thunder ticket
tiger time tired together tomato tomorrow tongue tooth tower town train travel tree truck true turn twelve
twenty two umbrella uncle under until usual valley vegetable very village violin visit voice wait walk wall
warm wash watch water wave weather wedding week west wheel white wide wild window winter wish wolf wonder
wood word world write yard year yellow yesterday young zebra zero agua amigo bonito brazo bueno caballo calle
camino casa cielo ciudad dinero domingo flor fuego gato gente guerra hermano hoja isla jardin largo leche
libro luna madera mesa mujer nieve noche nube pan perro plaza puerta queso rojo sombra tarde tierra verde
viento zapato abend baum blume brief donner feuer fenster freund garten haus himmel herz katze kirche kuchen
licht morgen nacht regen schiff schnee schule sonne stadt strasse tisch vogel wagen wald wasser wetter zeit
zucker arbre bateau beau bonjour bouche chaise chambre chanson cheval chien fleur fromage jaune jeune joli
lait maison matin monde montagne oiseau pain petit pluie pomme poisson rouge rue soleil temps vache vent
ville voiture albero bianco cavallo chiave dolce fiume giallo giorno luce mare notte piazza ragazzo scuola
strada tavolo vecchio vino boom dag fiets groot huis jongen kaas lucht meisje straat tuin vriend weg zomer
chleb dom droga drzewo kawa kot las mleko noc okno pies rzeka szkola wiatr zima
"""
WORDS = tuple(_TEXT.split())


@dataclass(frozen=True)
class VoicesSettings:
    """How much is spoken. The defaults make the corpus `voices`; smaller numbers make one for tests."""

    train_speakers: int = 168
    valid_speakers: int = 16
    test_speakers: int = 24
    train_sentences: int = 16  # by each speaker
    valid_sentences: int = 8
    test_sentences: int = 8
    seed: int = 0


class Speaker(NamedTuple):
    """One voice: a language read by a voice variant, with a pitch, rate and vocal tract of its own."""

    name: str
    split: str
    sex: str
    voice: str  # in espeak-ng's words: language+variant
    rate: int  # words per minute
    pitch: int  # 0 to 99; 50 is the variant's own
    range: int  # 0 to 99, how much the melody moves; 50 is the variant's own
    tract: float  # formants are lowered by this factor (and speech slowed), by playing it back slower


class Line(NamedTuple):
    """One sentence to be spoken."""

    id: str
    speaker: Speaker
    text: str


def espeak_edition() -> str:
    """Which espeak-ng would speak, for the key of a cache.

    Raises:
        CorpusError: when the wheel is not installed.
    """
    try:
        return version("espeakng-loader")
    except PackageNotFoundError as error:
        raise CorpusError(
            "corpus voices: the package espeakng-loader, which speaks it, is not installed; "
            "pip install espeakng-loader, or give recordings of your own with folder:PATH") from error


def cast(settings: VoicesSettings) -> list[Speaker]:
    """The speakers, half of them women, half men, each split with voice variants of its own."""
    speakers = []
    for number, (split, variants) in enumerate(VARIANTS.items()):
        rng = np.random.default_rng((settings.seed, number))
        for i in range(getattr(settings, f"{split}_speakers")):
            sex = "FM"[i % 2]
            names = variants[sex]
            turn, which = divmod(i // 2, len(names))
            language = LANGUAGES[(turn + 5 * which + 3 * number) % len(LANGUAGES)]
            speakers.append(Speaker(
                name=f"{split}{i:03}-{language}-{names[which]}", split=split, sex=sex,
                voice=f"{language}+{names[which]}", rate=int(rng.integers(145, 196)),
                pitch=int(rng.integers(30, 71)), range=int(rng.integers(35, 66)),
                tract=round(float(rng.uniform(0.94, 1.06)), 3)))
    return speakers


def script(settings: VoicesSettings) -> list[Line]:
    """What every speaker says, about 4 s a sentence. No sentence is said twice in the whole corpus."""
    rng = np.random.default_rng((settings.seed, len(VARIANTS)))  # a stream beside those of the cast
    said: set[str] = set()
    lines = []
    for speaker in cast(settings):
        for number in range(getattr(settings, f"{speaker.split}_sentences")):
            text = _sentence(rng, speaker.rate)
            while text in said:
                text = _sentence(rng, speaker.rate)
            said.add(text)
            lines.append(Line(f"{speaker.name}/{number:02}", speaker, text))
    return lines


def _sentence(rng: np.random.Generator, rate: int) -> str:
    count = round(rng.uniform(3.3, 4.7) * rate / 60 * 0.9)  # espeak speaks our words slower than it says
    words = [WORDS[i] for i in rng.choice(len(WORDS), count, replace=False)]
    middle = int(rng.integers(3, count - 2))
    words[middle] += ","
    return " ".join(words) + "."


def speak(lines: Iterable[Line]) -> Iterator[tuple[Line, NDArray[np.float32]]]:
    """Each line with its sound, float32 [T] at RATE_HZ · tract, silence before and after taken away.

    Raises:
        CorpusError: when espeak-ng cannot be loaded or ends early.
    """
    lines = list(lines)
    espeak_edition()
    with tempfile.TemporaryFile() as requests, tempfile.TemporaryFile() as complaints:
        requests.write(json.dumps([_request(line) for line in lines]).encode())
        requests.seek(0)
        here = str(Path(__file__).resolve().parents[2])
        paths = os.pathsep.join(filter(None, (here, os.environ.get("PYTHONPATH"))))
        process = subprocess.Popen(
            [sys.executable, "-m", "tasnet_core.corpora.voices"], stdin=requests, stdout=subprocess.PIPE,
            stderr=complaints, env={**os.environ, "PYTHONPATH": paths})
        assert process.stdout is not None
        try:
            for line in lines:
                sound = _receive(process.stdout)
                if sound is None:
                    status = process.wait()
                    complaints.seek(0)
                    reason = complaints.read().decode("utf-8", "replace").strip().splitlines()[-1:]
                    raise CorpusError(f"corpus voices: espeak-ng ended with status {status} in voice "
                                      f"{line.speaker.voice} ({''.join(reason)}), but it speaks this corpus; "
                                      f"mend its package or give recordings of your own with folder:PATH")
                yield line, trim(sound)
        finally:
            process.stdout.close()
            process.kill()
            process.wait()


def _request(line: Line) -> tuple[str, str, int, int, int]:
    who = line.speaker
    return line.text, who.voice, who.rate, who.pitch, who.range


def trim(sound: NDArray[np.int16]) -> NDArray[np.float32]:
    """Without the silence before and after: less than a hundredth of the peak; full scale at ±1."""
    size = np.abs(sound.astype(np.int32))
    loud = np.flatnonzero(size > 0.01 * size.max(initial=0))
    if not len(loud):
        return np.zeros(0, np.float32)
    return sound[loud[0]:loud[-1] + 1].astype(np.float32) / np.float32(32768)


def _receive(pipe: IO[bytes]) -> NDArray[np.int16] | None:
    header = pipe.read(8)
    size = int.from_bytes(header, "little")
    sound = pipe.read(size)
    return np.frombuffer(sound, "<i2") if len(header) == 8 and len(sound) == size else None


class _Espeak:
    """The library, loaded and ready to speak into memory; it plays nothing."""

    SYNCHRONOUS, NO_EXIT, UTF8, RATE, PITCH, RANGE = 2, 0x8000, 1, 1, 3, 4  # as in its speak_lib.h

    def __init__(self) -> None:
        import espeakng_loader

        self.heard: list[bytes] = []
        self.library = ctypes.CDLL(espeakng_loader.get_library_path())
        rate = self.library.espeak_Initialize(
            self.SYNCHRONOUS, 0, espeakng_loader.get_data_path().encode(), self.NO_EXIT)
        if rate != RATE_HZ:
            raise RuntimeError(f"espeak_Initialize answered {rate}, not {RATE_HZ} Hz")
        # espeak_Initialize seeds from the clock; the C library's generator is as new in a fresh process.
        self.library.espeak_ng_SetRandSeed(ctypes.c_long(1))
        kind = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)
        self.callback = kind(self._hear)  # kept: C holds no reference to it
        self.library.espeak_SetSynthCallback(self.callback)

    def _hear(self, sound: Any, count: int, events: Any) -> int:
        if sound and count > 0:
            self.heard.append(ctypes.string_at(sound, 2 * count))
        return 0

    def __call__(self, text: str, voice: str, rate: int, pitch: int, range: int) -> bytes:
        if self.library.espeak_SetVoiceByName(voice.encode()):
            raise RuntimeError(f"espeak-ng has no voice {voice}")
        for parameter, value in ((self.RATE, rate), (self.PITCH, pitch), (self.RANGE, range)):
            self.library.espeak_SetParameter(parameter, value, 0)
        self.heard.clear()
        words = text.encode()
        self.library.espeak_Synth(words, ctypes.c_size_t(len(words) + 1), 0, 1, 0, self.UTF8, None, None)
        self.library.espeak_Synchronize()
        return b"".join(self.heard)


def _main() -> None:
    """The speaking process: requests as JSON on stdin; on stdout each one's size in 8 bytes and int16."""
    say = _Espeak()
    for request in json.load(sys.stdin):
        sound = say(*request)
        sys.stdout.buffer.write(len(sound).to_bytes(8, "little") + sound)
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    _main()
