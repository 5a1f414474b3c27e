"""Which texts look like refusals, and which only begin like one."""

import pytest

from kiln_mcp.llm.refusal_texts import looks_like_refusal


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but I can't help with that.",
        "I\u2019m sorry, but I can\u2019t assist with that request.",
        "Sorry, I can't do that.",
        "I cannot provide instructions for this.",
        "I'm unable to help with this request.",
        "As an AI language model, I can't provide medical advice.",
        "I must respectfully decline.",
        "I apologize, but I cannot generate that content.",
        "Unfortunately, I am not able to assist with this.",
        "Es tut mir leid, aber dabei kann ich nicht helfen.",
        "Tut mir leid, ich kann diese Anfrage nicht beantworten.",
        "Je suis désolé, mais je ne peux pas vous aider.",
        "Lo siento, pero no puedo ayudarte con eso.",
        "Mi dispiace, ma non posso aiutarti.",
        "Desculpe, mas não posso ajudar com isso.",
        "Het spijt me, maar ik kan je daar niet mee helpen.",
        "Извините, но я не могу помочь.",
        "很抱歉\uff0c我无法回答这个问题。",
        "申し訳ありませんが、そのご質問にはお答えできません。",
        "죄송하지만 도와드릴 수 없습니다.",
    ],
)
def test_a_text_in_the_usual_words_looks_like_a_refusal(text: str) -> None:
    assert looks_like_refusal(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Paris",
        "I'm sorry to hear that your parcel is late. We will send a new one today.",
        "Sorry for the delay! Your refund is on its way.",
        "I can't wait to see you on Friday, it will be great fun.",
        "I won't be in the office tomorrow; Ann will take the call.",
        "Unfortunately the train was cancelled, so take the bus at 9:15.",
        "Desolate hills lay before them.",
        "Es tut mir leid, dass Sie warten mussten. Die Sendung kommt morgen.",
        "I cannot find the invoice 4711 in the list, which has 12 rows.",
        "I can't help you with X. " + "But here is a long answer. " * 20,
    ],
)
def test_other_texts_do_not(text: str) -> None:
    assert not looks_like_refusal(text)
