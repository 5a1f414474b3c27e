"""Texts with planted edits: which pairs say the same is certain, because the edits are ours.

Two texts are the same if one comes from the other by typing errors, other case and punctuation, a
moved half, synonyms or added courtesy, or by several of these. They are not the same if they are
different texts, differ in a number, or fill the slot of a common form with another word.
"""

import random
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent
SPACELESS = frozenset({"ja", "zh"})
GREETINGS: Mapping[str, tuple[tuple[str, str], ...]] = {
    "en": (
        ("Hello,", "Thank you in advance."),
        ("Hi there, I hope you are well.", ""),
        ("", "Thanks a lot for your help!"),
    ),
    "de": (
        ("Guten Tag,", "Vielen Dank im Voraus."),
        ("Hallo zusammen,", ""),
        ("", "Danke für Ihre Hilfe!"),
    ),
    "fr": (("Bonjour,", "Merci d'avance."), ("Bonjour à tous,", ""), ("", "Merci de votre aide !")),
    "es": (("Hola,", "Gracias de antemano."), ("Buenos días,", ""), ("", "¡Gracias por su ayuda!")),
    "ja": (
        ("こんにちは。", "よろしくお願いします。"),
        ("お世話になります。", ""),
        ("", "ありがとう。"),
    ),
    "zh": (("你好。", "谢谢。"), ("您好。", ""), ("", "麻烦您了。")),
}
FORMS: Mapping[str, str] = {
    "Which visa do I need to travel to {}?": "Brazil Kenya Japan Canada Turkey India Peru Nepal",
    "Translate the word {} into Italian.": "bread river window horse teacher garden winter spoon",
    "Wie wird das Wetter morgen in {}?": "Hamburg Wien Bern Köln Dresden Graz Kiel Basel",
    "Who wrote the novel {}?": "Dracula Emma Ulysses Middlemarch Beloved Persuasion Rebecca Kim",
    "I ordered the {} for my {} but you sent the {} of somebody else": (
        "teapot/aunt/toaster violin/son/banjo rug/office/curtain bracelet/wife/necklace "
        "helmet/cousin/saddle puzzle/class/globe blender/mother/kettle mirror/hall/vase"
    ),
    "Can the {} museum be reached by {} from the {} station?": (
        "railway/tram/northern fashion/ferry/central maritime/bus/old sculpture/bicycle/western "
        "science/taxi/harbour pottery/foot/airport design/metro/southern folklore/car/eastern"
    ),
}


@dataclass(frozen=True)
class Sample:
    """A text of the benchmark.

    Attributes:
        text: The text.
        meaning: Texts that say the same share it.
        edit: How it came from its original; "original" for that.
        language: Its language.
    """

    text: str
    meaning: str
    edit: str
    language: str


def samples(seed: int) -> list[Sample]:
    """Return all texts with their edits, in a random order."""
    draw = random.Random(seed)
    synonyms: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for language, word, other in _rows("synonyms.tsv"):
        synonyms[language].append((word, other))
    result: list[Sample] = []
    for number, (language, text) in enumerate(_rows("texts.tsv")):
        editor = _Editor(language, synonyms[language], draw)
        edits = {name: edit(text) for name, edit in editor.edits().items()}
        for name, edited in {"original": text, **edits}.items():
            if name == "original" or edited != text:
                result.append(Sample(edited, f"text {number}", name, language))
        if re.search(r"\d", text):
            result.append(Sample(editor.other_number(text), f"number {number}", "number", language))
    for form, words in FORMS.items():
        for word in words.split():
            text = form.format(*word.split("/"))
            result.append(Sample(text, f"{form} {word}", "gap", "en"))
            result.append(Sample(text.lower(), f"{form} {word}", "case", "en"))
    draw.shuffle(result)
    return result


def _rows(name: str) -> Iterator[list[str]]:
    for line in (FOLDER / name).read_text(encoding="utf-8").splitlines():
        yield line.split("\t")


class _Editor:
    """Edits texts of one language."""

    def __init__(
        self, language: str, synonyms: Sequence[tuple[str, str]], draw: random.Random
    ) -> None:
        self._language = language
        self._synonyms = synonyms
        self._draw = draw
        self._gap = "" if language in SPACELESS else " "

    def edits(self) -> Mapping[str, Callable[[str], str]]:
        """Return the edits that keep the meaning."""
        return {
            "typos": self.typos,
            "case and punctuation": self.other_marks,
            "moved half": self.moved_half,
            "synonyms": self.synonyms,
            "courtesy": self.courtesy,
            "synonyms and courtesy": lambda text: self.courtesy(self.synonyms(text)),
            "typos and courtesy": lambda text: self.courtesy(self.typos(text)),
            "synonyms and typo": lambda text: self.typos(self.synonyms(text, 1), 1),
        }

    def typos(self, text: str, count: int = 0) -> str:
        """Swap, drop, double or replace a letter: one of a short text, two of a longer one."""
        if self._language in SPACELESS:
            place = self._draw.choice(list(re.finditer(r"[^\W\d_]", text))[1:]).start()
            return text[:place] + text[place + 1 :]
        words = text.split()
        places = [at for at, word in enumerate(words) if len(word) >= 5 and word.isalpha()]
        for place in self._draw.sample(
            places, min(len(places), count or (2 if len(words) >= 12 else 1))
        ):
            word = words[place]
            at = self._draw.randrange(1, len(word) - 1)
            words[place] = self._draw.choice(
                (
                    word[:at] + word[at + 1] + word[at] + word[at + 2 :],
                    word[:at] + word[at + 1 :],
                    word[:at] + word[at] + word[at:],
                    word[:at] + self._draw.choice("aeinrst") + word[at + 1 :],
                )
            )
        return " ".join(words)

    def other_marks(self, text: str) -> str:
        """Write the text in other case and with other marks."""
        return self._draw.choice((str.upper, str.lower, str))(text) + self._draw.choice("!?.…")

    def moved_half(self, text: str) -> str:
        """Put the second half first."""
        if self._language in SPACELESS:
            middle = len(text) // 2
            return f"{text[middle:]}{text[:middle]}"
        words = text.split()
        middle = len(words) // 2
        return " ".join([*words[middle:], *words[:middle]])

    def synonyms(self, text: str, most: int = 2) -> str:
        """Replace up to two words by others of the same meaning."""
        count = 0
        for word, other in self._synonyms:
            if count < most and word in text:
                text = text.replace(word, other, 1)
                count += 1
        return text

    def courtesy(self, text: str) -> str:
        """Add a greeting, thanks, or both."""
        begin, end = self._draw.choice(GREETINGS[self._language])
        return self._gap.join(part for part in (begin, text, end) if part)

    def other_number(self, text: str) -> str:
        """Change the last digit of the first number."""
        number = re.search(r"\d+", text)
        assert number is not None
        changed = number[0][:-1] + str((int(number[0][-1]) + self._draw.randint(1, 8)) % 10)
        return text[: number.start()] + changed + text[number.end() :]
