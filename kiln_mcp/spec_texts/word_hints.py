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
class _Meaning:
    """What words of a kind point to, and how sure that is."""

    why: str
    confidence: float


_MEANINGS: Final[Mapping[FindingKind, _Meaning]] = {
    FindingKind.SUBJECTIVE: _Meaning(
        '"{words}" rests on taste: name what in the output shows it.', 0.4
    ),
    FindingKind.UNDERSPECIFIED: _Meaning('"{words}" leaves the limit to each reviewer.', 0.4),
    FindingKind.UNJUDGEABLE: _Meaning(
        '"{words}" happens in a person or a model; the output does not show it.', 0.45
    ),
    FindingKind.MISSING_REFERENCE: _Meaning('"{words}" is not among the texts at hand.', 0.4),
    FindingKind.VACUOUS: _Meaning("Every output meets this.", 0.45),
    FindingKind.COMPOUND: _Meaning(
        "Two requirements in one: an output can meet the first and break the second.", 0.4
    ),
}


_ENGLISH: Final[Mapping[FindingKind, re.Pattern[str]]] = {
    FindingKind.SUBJECTIVE: re.compile(
        r"\b(?:beautiful|engaging|delightful|impressive|elegant|compelling|inspiring|charming"
        r"|memorable|tasteful|pleasant|nice|appealing|attractive|catchy"
        r"|well[- ]written|high[- ]quality|interesting|fun|funny|stylish|world[- ]class)(?:ly)?\b",
        re.IGNORECASE,
    ),
    FindingKind.UNDERSPECIFIED: re.compile(
        r"\b(?:appropriate(?:ly)?|adequate(?:ly)?|reasonabl[ey]|suitabl[ey]|sufficient(?:ly)?"
        r"|as needed|if needed|where necessary|as necessary|if possible|and so on|etc\b\.?"
        r"|main points|key points|not too (?:long|short)|concisely)"
        r"|\b(?:is|are|be|stays?|sounds?) (?:very |always )?(short|brief|concise|polite|friendly"
        r"|professional|formal|detailed|helpful)(?=\W*$| and | or |,)",
        re.IGNORECASE,
    ),
    FindingKind.UNJUDGEABLE: re.compile(
        r"(?:^|, )(?:the |a |an |every )?(?:users?|customers?|readers?|patients?|guests?|people"
        r"|pupils?|clients?) (?:will |should |must |then |really )?(?:feels?|is happy|are happy"
        r"|trusts?|enjoys?|is satisfied|are satisfied|has learned|have learned|is convinced)\b"
        r"|\bthe model (?:has )?(?:thought|thinks|considered|considers|believes|intends)\b",
        re.IGNORECASE,
    ),
    FindingKind.MISSING_REFERENCE: re.compile(
        r"\b(?:the|our) (?:\w+ ){0,2}(?:style guide|handbook|guidebook|playbook|rulebook"
        r"|appendix|annex|code of conduct|guidelines)\b",
        re.IGNORECASE,
    ),
    FindingKind.VACUOUS: re.compile(
        r"\bmay or may not\b|\beither\b[^.]{1,60}\bor (?:it )?(?:does|is|has|do|are|did)"
        r"(?:n't| not)\W*$",
        re.IGNORECASE,
    ),
    FindingKind.COMPOUND: re.compile(
        r"\band (?:also |then )?(?:must|should|shall|has to|needs to|may not)\b"
        r"|\band,? in addition,?\b|\bas well as (?:a|the) \w+ that\b",
        re.IGNORECASE,
    ),
}
_GERMAN: Final[Mapping[FindingKind, re.Pattern[str]]] = {
    FindingKind.SUBJECTIVE: re.compile(
        r"\b(?:schöne?[mnrs]?|ansprechende?[mnrs]?|gelungene?[mnrs]?|hochwertige?[mnrs]?"
        r"|elegante?[mnrs]?|sympathische?[mnrs]?|angenehme?[mnrs]?|geschmackvoll\w*|stilvoll\w*"
        r"|interessante?[mnrs]?|begeisternde?[mnrs]?|einprägsame?[mnrs]?|überzeugende?[mnrs]?)\b",
        re.IGNORECASE,
    ),
    FindingKind.UNDERSPECIFIED: re.compile(
        r"\b(?:angemessene?[mnrs]?|in angemessener weise|geeignete?[mnrs]?|ausreichende?[mnrs]?"
        r"|nach möglichkeit|bei bedarf|gegebenenfalls|ggf|möglichst|hinreichende?[mnrs]?"
        r"|nicht zu (?:lang|kurz)|das wichtigste|die wichtigsten \w+|und so weiter|usw)\b"
        r"|\b(?:ist|sind|sei|bleibt|klingt) (?:immer |sehr )?(kurz|knapp|höflich|freundlich"
        r"|professionell|förmlich|ausführlich|hilfreich|verständlich)(?=\W*$| und | oder |,)",
        re.IGNORECASE,
    ),
    FindingKind.UNJUDGEABLE: re.compile(
        r"(?:^|, )(?:der |die |das )?(?:kundinnen|kunden?|leser(?:in|innen)?|nutzer(?:in|innen)?"
        r"|patient(?:en|in)?|gäste|gast|schüler(?:in|innen)?|personen?) (?:sich )?"
        r"(?:fühlt|fühlen|vertraut|vertrauen|(?:ist|sind) zufrieden|hat gelernt|ist überzeugt)\b"
        r"|\bdas modell (?:hat|denkt|glaubt|überlegt)\b",
        re.IGNORECASE,
    ),
    FindingKind.MISSING_REFERENCE: re.compile(
        r"\b(?:gemäß|laut|nach) (?:dem |der |unserem |unserer )?(?:\w+ )?(?:\w*leitfaden"
        r"|\w*handbuch\w*|\w*richtlinien?|\w*anlage|\w*anhang)\b"
        r"|\bim (?:glossar|handbuch|leitfaden|anhang)\b",
        re.IGNORECASE,
    ),
    FindingKind.VACUOUS: re.compile(
        r"^(?!.*\bob\b).*\boder (?:\w+ ){0,4}nicht\W*$",
        re.IGNORECASE,
    ),
    FindingKind.COMPOUND: re.compile(
        r"\bund (?:außerdem |zudem |auch )?(?:muss|soll|darf|müssen|sollen|dürfen)\b"
        r"|\bund (?:außerdem|zudem|zusätzlich)\b",
        re.IGNORECASE,
    ),
}
_JAPANESE: Final[Mapping[FindingKind, re.Pattern[str]]] = {
    FindingKind.SUBJECTIVE: re.compile(
        r"魅力的|美しい|素敵|面白い|心地よい|感じの良い|おしゃれ|上質|洗練|印象的|センス",
        re.IGNORECASE,
    ),
    FindingKind.UNDERSPECIFIED: re.compile(
        r"適切[なに]|適宜|必要に応じて|状況に応じて|可能な限り|できるだけ|なるべく|十分[なに]"
        r"|ある程度|簡潔[なに]|(丁寧|親切|簡潔|短い|分かりやすい|わかりやすい)"
        r"(?:である|だ|です|にする|とする|なものとする)?。?$",
        re.IGNORECASE,
    ),
    FindingKind.UNJUDGEABLE: re.compile(
        r"(?:読者|顧客|利用者|ユーザー|患者|客|親|相手)(?:様)?[がは][^。、]{0,12}"
        r"(?:安心する|満足する|満足して|納得する|信頼する|理解している|感じる|喜ぶ)"
        r"。?$|モデル[がは][^。]{0,20}(?:考え|確認)",
        re.IGNORECASE,
    ),
    FindingKind.MISSING_REFERENCE: re.compile(
        r"(?:別表|規程|マニュアル|手引き?|ガイドライン)[^。、]{0,8}"
        r"(?:に従|に基づ|のとおり|と同じ|と一致|に沿)",
        re.IGNORECASE,
    ),
    FindingKind.VACUOUS: re.compile(
        r"か、?(?:または|あるいは)?[^。、]{1,12}ないかのどちらか",
        re.IGNORECASE,
    ),
    FindingKind.COMPOUND: re.compile(
        r"、(?:さらに|かつ|加えて|その上)",
        re.IGNORECASE,
    ),
}
_HINTS: Final[Mapping[Language, Mapping[FindingKind, re.Pattern[str]]]] = {
    Language.ENGLISH: _ENGLISH,
    Language.GERMAN: _GERMAN,
    Language.JAPANESE: _JAPANESE,
}
_QUOTATION: Final = re.compile(
    r"\"[^\"]{0,200}\"|“[^”]{0,200}”|„[^“”]{0,200}[“”]|「[^」]{0,200}」|`[^`]{0,200}`"
)
_EXPLANATION: Final = re.compile(
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
    definitions = "\n".join(clause.text for clause in clauses if '" means' in clause.text)
    for clause in clauses:
        own = language_of(clause.text) or language
        if own is None:
            continue
        text = _QUOTATION.sub(lambda hit: " " * len(hit[0]), clause.text)
        for kind, pattern in _HINTS[own].items():
            hit = pattern.search(text)
            if hit is None or _is_settled(kind, text, hit[0], texts_at_hand):
                continue
            words = (hit[hit.lastindex] if hit.lastindex else hit[0]).strip(" ,")
            if f'"{words}" means' in definitions:
                continue
            yield finding(
                kind,
                clause.id,
                clause.text if kind is FindingKind.COMPOUND else words,
                _MEANINGS[kind].why.format(words=words),
                confidence=_MEANINGS[kind].confidence,
            )


def _is_settled(kind: FindingKind, text: str, words: str, texts_at_hand: str) -> bool:
    """Return whether the clause explains or counts the words, or the reference is at hand."""
    if kind is FindingKind.MISSING_REFERENCE:
        return words.casefold().split()[-1] in texts_at_hand.casefold()
    if kind in {FindingKind.SUBJECTIVE, FindingKind.UNDERSPECIFIED}:
        return _EXPLANATION.search(text) is not None
    return False


def languages_of(clauses: Sequence[Clause]) -> tuple[Language, ...]:
    """Return the languages whose words were looked at, without repeats."""
    language = language_of(" ".join(clause.text for clause in clauses))
    languages = [language_of(clause.text) or language for clause in clauses]
    return tuple(dict.fromkeys(name for name in languages if name is not None))
