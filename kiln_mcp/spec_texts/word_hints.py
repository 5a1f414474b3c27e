"""Point at words on which reviewers often part, in English, German and Japanese.

Words are weak evidence: each hint is of low confidence, and a clause that explains its word or
counts it gets none. Nothing is looked for in other languages.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from kiln_mcp.spec_texts.findings import finding
from kiln_mcp.spec_texts.spec_content import Clause, Finding, FindingKind
from kiln_mcp.spec_texts.text_languages import Language, language_of


@dataclass(frozen=True, slots=True)
class _Words:
    """A pattern of words, what it points to, and how sure it is."""

    kind: FindingKind
    pattern: re.Pattern[str]
    why: str
    confidence: float


_TASTE: Final = '"{words}" rests on taste: name what in the output shows it.'
_LIMIT: Final = '"{words}" leaves the limit to each reviewer.'
_PERSON: Final = '"{words}" happens in a person or a model; the output does not show it.'
_SOURCE: Final = '"{words}" is not among the texts at hand.'
_TWO: Final = "Two requirements in one: an output can meet the first and break the second."
_ALWAYS: Final = "Every output meets this."


def _words(kind: FindingKind, pattern: str, why: str, confidence: float) -> _Words:
    return _Words(kind, re.compile(pattern, re.IGNORECASE), why, confidence)


_ENGLISH: Final = (
    _words(
        FindingKind.SUBJECTIVE,
        r"\b(?:beautiful|engaging|delightful|impressive|elegant|compelling|inspiring|charming"
        r"|memorable|tasteful|pleasant|nice|appealing|attractive|catchy"
        r"|well[- ]written|high[- ]quality|interesting|fun|funny|stylish|world[- ]class)(?:ly)?\b",
        _TASTE,
        0.4,
    ),
    _words(
        FindingKind.UNDERSPECIFIED,
        r"\b(?:appropriate(?:ly)?|adequate(?:ly)?|reasonabl[ey]|suitabl[ey]|sufficient(?:ly)?"
        r"|as needed|if needed|where necessary|as necessary|if possible|and so on|etc\b\.?"
        r"|main points|key points|not too (?:long|short)|concise(?:ly)?)",
        _LIMIT,
        0.4,
    ),
    _words(
        FindingKind.UNJUDGEABLE,
        r"\b(?:users?|customers?|readers?|patients?|guests?|people|pupils?|clients?)\W+"
        r"(?:will |should |must |then |really )?(?:feels?|is happy|are happy|trusts?|enjoys?"
        r"|is satisfied|are satisfied|has learned|have learned|is convinced|remembers?)\b"
        r"|\bthe model (?:has )?(?:thought|thinks|considered|considers|believes|intends)\b",
        _PERSON,
        0.45,
    ),
    _words(
        FindingKind.MISSING_REFERENCE,
        r"\b(?:the|our) (?:\w+ ){0,2}(?:style guide|handbook|guidebook|playbook|rulebook"
        r"|appendix|annex|code of conduct|guidelines)\b",
        _SOURCE,
        0.4,
    ),
    _words(
        FindingKind.VACUOUS,
        r"\bmay or may not\b|\beither\b[^.]{1,60}\bor (?:it )?(?:does|is|has|do|are|did)"
        r"(?:n't| not)\W*$",
        _ALWAYS,
        0.45,
    ),
    _words(
        FindingKind.COMPOUND,
        r"\band (?:also |then )?(?:must|should|shall|has to|needs to|may not)\b"
        r"|\band,? in addition,?\b|\bas well as (?:a|the) \w+ that\b",
        _TWO,
        0.4,
    ),
)
_GERMAN: Final = (
    _words(
        FindingKind.SUBJECTIVE,
        r"\b(?:schöne?[mnrs]?|ansprechende?[mnrs]?|gelungene?[mnrs]?|hochwertige?[mnrs]?"
        r"|elegante?[mnrs]?|sympathische?[mnrs]?|angenehme?[mnrs]?|geschmackvoll\w*|stilvoll\w*"
        r"|interessante?[mnrs]?|begeisternde?[mnrs]?|einprägsame?[mnrs]?|überzeugende?[mnrs]?)\b",
        _TASTE,
        0.4,
    ),
    _words(
        FindingKind.UNDERSPECIFIED,
        r"\b(?:angemessene?[mnrs]?|in angemessener weise|geeignete?[mnrs]?|ausreichende?[mnrs]?"
        r"|nach möglichkeit|bei bedarf|gegebenenfalls|ggf|möglichst|hinreichende?[mnrs]?"
        r"|nicht zu (?:lang|kurz)|das wichtigste|die wichtigsten \w+|und so weiter|usw)\b",
        _LIMIT,
        0.4,
    ),
    _words(
        FindingKind.UNJUDGEABLE,
        r"\b(?:kundinnen|kunden?|leser(?:in|innen|s)?|nutzer(?:in|innen|s)?|patient(?:en|in)?"
        r"|gäste|gast|schüler(?:in|innen)?|personen?)\W+(?:sich )?(?:fühlt|fühlen|vertraut"
        r"|vertrauen|ist zufrieden|sind zufrieden|hat gelernt|ist überzeugt)\b"
        r"|\bdas modell (?:hat|denkt|glaubt|überlegt)\b",
        _PERSON,
        0.45,
    ),
    _words(
        FindingKind.MISSING_REFERENCE,
        r"\b(?:gemäß|laut|nach) (?:dem |der |unserem |unserer )?(?:\w+ )?(?:\w*leitfaden"
        r"|\w*handbuch\w*|\w*richtlinien?|\w*anlage|\w*anhang)\b"
        r"|\bim (?:glossar|handbuch|leitfaden|anhang)\b",
        _SOURCE,
        0.4,
    ),
    _words(
        FindingKind.VACUOUS,
        r"\boder (?:(?:er|sie|es) )?(?:\w+ ){0,3}(?:auch )?nicht\W*$",
        _ALWAYS,
        0.4,
    ),
    _words(
        FindingKind.COMPOUND,
        r"\bund (?:außerdem |zudem |auch )?(?:muss|soll|darf|müssen|sollen|dürfen)\b"
        r"|\bund (?:außerdem|zudem|zusätzlich)\b",
        _TWO,
        0.4,
    ),
)
_JAPANESE: Final = (
    _words(
        FindingKind.SUBJECTIVE,
        r"魅力的|美しい|素敵|面白い|心地よい|感じの良い|おしゃれ|上質|洗練|印象的|センス",
        _TASTE,
        0.4,
    ),
    _words(
        FindingKind.UNDERSPECIFIED,
        r"適切[なに]|適宜|必要に応じて|状況に応じて|可能な限り|できるだけ|なるべく|十分[なに]"
        r"|ある程度|簡潔[なに]",
        _LIMIT,
        0.4,
    ),
    _words(
        FindingKind.UNJUDGEABLE,
        r"(?:読者|顧客|利用者|ユーザー|患者|客|親|相手)(?:様)?[がは][^。、]{0,12}"
        r"(?:安心する|満足する|満足して|納得する|信頼する|理解している|感じる|喜ぶ)"
        r"|モデル[がは][^。]{0,20}(?:考え|確認)",
        _PERSON,
        0.45,
    ),
    _words(
        FindingKind.MISSING_REFERENCE,
        r"(?:別表|規程|マニュアル|手引き?|ガイドライン)[^。、]{0,8}"
        r"(?:に従|に基づ|のとおり|と同じ|と一致|に沿)",
        _SOURCE,
        0.4,
    ),
    _words(
        FindingKind.VACUOUS,
        r"か、?(?:または|あるいは)?[^。、]{1,12}ないかのどちらか",
        _ALWAYS,
        0.45,
    ),
    _words(FindingKind.COMPOUND, r"、(?:さらに|かつ|加えて|その上)", _TWO, 0.4),
)
_HINTS: Final[Mapping[Language, Sequence[_Words]]] = {
    Language.ENGLISH: _ENGLISH,
    Language.GERMAN: _GERMAN,
    Language.JAPANESE: _JAPANESE,
}
_QUOTED: Final = re.compile(
    r"\"[^\"]{0,200}\"|“[^”]{0,200}”|„[^“”]{0,200}[“”]|「[^」]{0,200}」|`[^`]{0,200}`"
)
_EXPLAINED: Final = re.compile(
    r"[:;(\uff08\uff1a\u2014]|\d|\b(?:that is|i\.e\.|means?|das heißt|d\.h\.|also)\b"
    r"|つまり|すなわち|とは"
)


def word_hints(clauses: Sequence[Clause], texts_at_hand: str) -> Iterator[Finding]:
    """Yield what the words of clauses point to.

    Args:
        clauses: The clauses.
        texts_at_hand: What the spec may refer to: the instruction and the documents.
    """
    language = language_of(" ".join(clause.text for clause in clauses))
    for clause in clauses:
        own = language_of(clause.text) or language
        if own is None:
            continue
        text = _QUOTED.sub(lambda hit: " " * len(hit[0]), clause.text)
        for words in _HINTS[own]:
            hit = words.pattern.search(text)
            if hit is None or _is_settled(words.kind, text, hit[0], texts_at_hand):
                continue
            yield finding(
                words.kind,
                clause.id,
                clause.text if words.kind is FindingKind.COMPOUND else hit[0],
                words.why.format(words=hit[0]),
                confidence=words.confidence,
            )


def _is_settled(kind: FindingKind, text: str, words: str, texts_at_hand: str) -> bool:
    """Return whether the clause explains or counts the words, or the reference is at hand."""
    if kind is FindingKind.MISSING_REFERENCE:
        return words.casefold().split()[-1] in texts_at_hand.casefold()
    if kind in {FindingKind.SUBJECTIVE, FindingKind.UNDERSPECIFIED}:
        return _EXPLAINED.search(text) is not None
    return False


def languages_of(clauses: Sequence[Clause]) -> tuple[Language, ...]:
    """Return the languages whose words were looked at, without repeats."""
    whole = language_of(" ".join(clause.text for clause in clauses))
    each = [language_of(clause.text) or whole for clause in clauses]
    return tuple(dict.fromkeys(language for language in each if language is not None))
