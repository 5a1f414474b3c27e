"""What the refusals of servers teach about their dialects: one table of sentences.

A lesson holds if its words are in the refusal, the request used the feature, and there is another
way to ask. Sources: the sentences of OpenAI, vLLM, TGI, llama.cpp, Ollama, LM Studio, OpenRouter,
Groq, DeepSeek, Mistral, Gemini, and of the chat templates of Gemma, Mistral and Qwen.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from kiln_mcp.llm.messages import ModelRequest
from kiln_mcp.llm.providers.dialect import Dialect
from kiln_mcp.llm.providers.http_errors import is_overflow


@dataclass(frozen=True, slots=True)
class Lesson:
    """What a refusal teaches.

    Attributes:
        feature: A field of `Dialect`.
        value: Its new value.
        is_about_schema: Whether it holds for the request's schema alone, not for the model.
    """

    feature: str
    value: str
    is_about_schema: bool = False


@dataclass(frozen=True, slots=True)
class _Sentence:
    """A kind of refusal.

    Attributes:
        feature: A field of `Dialect`.
        words: A pattern that must be in the refusal.
        next: The next value, by the one with which the request was sent.
        uses: Whether a request uses the feature.
        streams: Whether it is about streams alone, or whole answers alone; None for both.
    """

    feature: str
    words: re.Pattern[str]
    next: Mapping[str, str]
    uses: Callable[[ModelRequest], bool]
    streams: bool | None = None


_REFUSED: Final = (
    r"(?:un|not |n't |in)(?:yet )?"
    r"(?:support|allow|permit|implement|enabl|avail|recogni|expect|know|valid)"
    r"|do(?:es)? ?n[o']t (?:support|accept|allow|exist)|extra (?:input|field|param)|forbidden"
    r"|cannot|can't|must (?:not|be)|only|requires|no endpoints|has no|takes no|disabled|strictly"
    r"|deprecated|no longer"
)


def _parameter(name: str, unless: str = "") -> re.Pattern[str]:
    """Return the pattern of a refusal that names a parameter, in any order.

    Args:
        name: A pattern of the parameter's name.
        unless: A pattern that such a refusal does not hold.
    """
    exception = f"^(?!.*(?:{unless}))" if unless else "^"
    words = rf"(?:{name}).*?(?:{_REFUSED})|(?:{_REFUSED}).*?(?:{name})"
    return re.compile(rf"{exception}.*?(?:{words})", re.IGNORECASE | re.DOTALL)


def _pattern(words: str) -> re.Pattern[str]:
    return re.compile(words, re.IGNORECASE | re.DOTALL)


def _has_system(request: ModelRequest) -> bool:
    return any(message.role == "system" for message in request.messages) or bool(
        request.raw_text or request.tools
    )


def _is_any(request: ModelRequest) -> bool:
    del request
    return True


_NO_NEXT: Final[Mapping[str, str]] = {"yes": "no"}
_ABOUT_SCHEMA: Final = _pattern(
    r"invalid (?:json )?schema|schema (?:is |was )?(?:too|invalid|not valid)|in schema|\$ref|"
    r"additionalproperties|(?:schema|json) (?:keyword|feature)|keyword .{0,40}not|too many states|"
    r"schema.{0,80}(?:complex|depth|nesting)"
)
_ABOUT_COUNT: Final = r"<=|less than|between|at most|maximum|range|up to"
"""Words of a refusal of too large a number, which does not refuse the parameter."""
_LARGEST: Final = _pattern(
    r"(?:max\w{0,20}_tokens|(?:completion|output|maximum) tokens).{0,200}?"
    r"(?:at most|less than or equal to|maximum(?: allowed)?(?: value)?(?: is| of)?:?|<=|\u2264|"
    r"\[\d{1,8}, ?|between \d{1,8} and|exceeds? .{0,60}?(?:\(|(?:of|is|:) ?))"
    r"\s{0,8}[`'\"]?(\d{1,8})"
    r"|max\w{0,20}_tokens\D{0,40}\d{1,8} > (\d{1,8})"
    r"|maxoutputtokens.{0,100}?range is from \d{1,8} \(inclusive\) to (\d{1,8})"
)
_WINDOW: Final = _pattern(
    r"context length (?:is|of) (?:only )?(\d{1,8})"
    r"|tokens`? \+ `?max_new_tokens`? must be <= (\d{1,8})"
)
_EXCLUSIVE: Final = " (exclusive)"
_SMALLEST_ANSWER: Final = 64
"""Tokens; fewer hold no answer worth asking for."""
SENTENCES: Final = (
    _Sentence(
        "json_mode",
        _pattern(
            r"response_?format|json_?schema|json_?object|guided|grammar|json.?mode|response.?schema|"
            r"structured.?(?:output|generation)|(?:feature|unsupported).{0,20}schema|"
            r"schema.{0,80}(?:complex|depth|nesting|states)"
        ),
        {"schema": "object", "object": "words"},
        lambda request: request.schema is not None,
    ),
    _Sentence(
        "length_field",
        _pattern(r"max_tokens.*max_completion_tokens"),
        {"max_tokens": "max_completion_tokens"},
        _is_any,
    ),
    _Sentence(
        "length_field",
        _pattern(r"max_completion_tokens.*max_tokens"),
        {"max_completion_tokens": "max_tokens"},
        _is_any,
    ),
    _Sentence(
        "length_field",
        _parameter("max_tokens|max_completion_tokens"),
        {"max_tokens": "max_completion_tokens", "max_completion_tokens": "none"},
        _is_any,
    ),
    _Sentence(
        "temperature",
        _pattern(
            r"temperature.*(?:strictly positive|greater than 0|> ?0|positive|\(0(?:\.0)?, ?\d)"
        ),
        {"any": "positive", "positive": "default"},
        _is_any,
    ),
    _Sentence(
        "temperature",
        _parameter("temperature"),
        {"any": "default", "positive": "default"},
        _is_any,
    ),
    _Sentence(
        "seed",
        _parameter(r"\bseed\b"),
        _NO_NEXT,
        lambda request: request.seed is not None or bool(request.sample),
    ),
    _Sentence(
        "stop", _parameter(r"\bstop\b", _ABOUT_COUNT), _NO_NEXT, lambda request: bool(request.stop)
    ),
    _Sentence(
        "logprobs",
        _parameter("logprobs", _ABOUT_COUNT),
        _NO_NEXT,
        lambda request: request.top_logprobs > 0,
    ),
    _Sentence(
        "tools",
        _parameter(
            r"\btools?\b|tool[_ -](?:use|choice|call)|function.call", r"schema|\.parameters"
        ),
        {"native": "words"},
        lambda request: bool(request.tools),
    ),
    _Sentence(
        "streaming_usage",
        _parameter("stream_options|include_usage"),
        _NO_NEXT,
        _is_any,
        streams=True,
    ),
    _Sentence("streaming", _parameter(r"\bstream(?:ing)?\b"), _NO_NEXT, _is_any, streams=True),
    _Sentence(
        "streaming",
        _pattern(
            r"only supports? stream|stream.{0,20}must be (?:set to )?true|requires? stream|"
            r"must have stream ?= ?true|streaming is (?:\w+ )?required|(?:for|in) non-?streaming"
        ),
        {"yes": "only"},
        _is_any,
        streams=False,
    ),
    _Sentence(
        "turns",
        _pattern(r"unexpected role.{0,20}after"),
        {"any": "alternate"},
        _is_any,
    ),
    _Sentence(
        "system_role",
        _pattern(
            r"system.{0,20}(?:role|message|prompt|instruction)s? ?(?:is|are)? ?"
            r"(?:not|un)|(?:not|n't|un)\w* ?support\w*.{0,30}system|role:? ?['\"`]?system|"
            r"developer instruction|only user.{0,30}role|unexpected role|valid role\b.{0,20}user|"
            r"role.{0,40}(?:one of|must be|should be|only).{0,40}user|['\"]system['\"] is not|"
            r"(?:start|begin)s? with (?:an? |the )?['\"]?user|"
            r"first message.{0,20}(?:from|be).{0,20}user"
        ),
        _NO_NEXT,
        _has_system,
    ),
    _Sentence(
        "turns",
        _pattern(
            r"alternat|system message must|must be (?:at )?the (?:beginning|first)|consecutive|"
            r"only the first message.{0,20}system"
        ),
        {"any": "alternate"},
        _is_any,
    ),
    _Sentence("system_role", _pattern(r"alternat"), _NO_NEXT, _has_system),
)


def lesson_of(
    refusal: str, request: ModelRequest, dialect: Dialect, *, streams: bool
) -> Lesson | None:
    """Return what a server's words teach; None if nothing, or nothing new.

    Args:
        refusal: The server's words.
        request: The request that was refused.
        dialect: How it was sent.
        streams: Whether a stream was asked for.
    """
    window = _WINDOW.search(refusal)
    if window is not None or is_overflow(refusal):
        return _half_of(window, dialect.longest(request))
    largest = _LARGEST.search(refusal)
    if largest is not None:
        limit = int(next(filter(None, largest.groups())))
        limit -= refusal[largest.end() :].startswith(_EXCLUSIVE)
        if 0 < limit < dialect.longest(request):
            return Lesson("most_tokens", str(limit))
    for sentence in SENTENCES:
        value = sentence.next.get(_value(dialect, sentence.feature, request))
        is_apt = sentence.streams in {None, streams} and sentence.uses(request)
        if value is not None and is_apt and sentence.words.search(refusal):
            is_schema = (
                sentence.feature == "json_mode" and _ABOUT_SCHEMA.search(refusal) is not None
            )
            return Lesson(sentence.feature, value, is_about_schema=is_schema)
    return None


def _half_of(window: re.Match[str] | None, longest: int) -> Lesson | None:
    """Return the lesson to leave half of a context window to the answer, if it was asked for more.

    A request whose prompt alone takes more than half is refused again, and teaches nothing. A
    window that is too small for any answer teaches nothing either.
    """
    size = next(filter(None, window.groups()), "0") if window is not None else "0"
    half = int(size) // 2
    return Lesson("most_tokens", str(half)) if _SMALLEST_ANSWER <= half < longest else None


def _value(dialect: Dialect, feature: str, request: ModelRequest) -> str:
    mode = dialect.json_mode_of(request) if feature == "json_mode" else None
    return mode or dialect.value(feature)
