"""Texts that look like refusals, in several languages.

Where plain text is asked for, a refusal may be the right output, such as that of a support desk.
So such a text is named and never counted as a failure by itself.
"""

import re
from typing import Final

LONGEST: Final = 400
"""Characters of a text that may be a refusal and nothing else."""
_DEEDS: Final = (
    r"(?:help|assist|comply|fulfil|provide|create|write|generate|produce|answer|discuss|continue|"
    r"engage|support|do (?:that|this)|offer|give|share|respond|participate)"
)
_ENGLISH: Final = (
    r"(?:(?:(?:i'm|i am) (?:really |very |so )?sorry|sorry|apologies|i apologi[sz]e|unfortunately|"
    r"(?:i'm|i am) afraid)[,.:!]? ?(?:but |that )?)?"
    r"(?:as an? (?:ai|(?:large )?language model)[^,.]{0,40},? )?"
    r"(?:i (?:can ?not|can'?t|won'?t|will not|do not feel comfortable|don'?t feel comfortable)|"
    r"(?:i'm|i am) (?:unable|not able|not comfortable)|"
    r"i (?:must|have to|need to) (?:respectfully |politely )?decline)\b"
    rf"(?:(?: to)?(?: \w+ly)?(?: be able to)? (?:with )?{_DEEDS}\b|(?<=decline)|[.!]?$)"
)
_LANGUAGES: Final = (
    r"(?:es )?tut mir (?:sehr )?leid,? (?:aber )?(?:ich|dabei|das|diese)\b.{0,40}\b(?:nicht|kein)",
    r"(?:je suis )?(?:vraiment )?d[ée]sol[ée]e?,? (?:mais )?je (?:ne|n')",
    r"lo siento,? (?:pero )?no (?:puedo|podr[ée]|es posible)",
    r"mi dispiace,? (?:ma )?non posso",
    r"(?:desculpe|lamento|sinto muito),? (?:mas )?n[ãa]o posso",
    r"het spijt me,? (?:maar )?(?:ik kan|dat kan)",
    r"(?:извините|простите|к сожалению),? (?:но )?я не могу",
    r"(?:非常|很)?(?:抱歉|对不起|對不起)[,\uff0c\u3002 ]*(?:但)?(?:我)?(?:不能|无法|無法)",
    r"申し訳(?:ありません|ございません)(?:が|けど)?.{0,80}(?:できません|いたしかねます|お答え)",
    r"죄송하지만.{0,60}(?:없습니다|어렵습니다)",
)
_REFUSAL: Final = re.compile("|".join((_ENGLISH, *_LANGUAGES)), re.IGNORECASE | re.DOTALL)


def looks_like_refusal(text: str) -> bool:
    """Return whether a whole text is a refusal in its usual words."""
    words = text.strip().strip("\"'*").replace("\u2019", "'")
    return 0 < len(words) <= LONGEST and _REFUSAL.match(words) is not None
