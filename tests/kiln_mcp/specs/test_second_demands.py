"""A wish in another language than English is divided where a second demand begins."""

import pytest

from kiln_mcp.specs.wishes import criteria_of


@pytest.mark.parametrize(
    ("wish", "demands"),
    [
        (
            "Antworten müssen höflich sein und dürfen keine Preise nennen.",
            ["Antworten müssen höflich sein.", "Antworten dürfen keine Preise nennen."],
        ),
        (
            "Die Antwort muss höflich sein und sie darf nie Rabatte versprechen.",
            ["Die Antwort muss höflich sein.", "Sie darf nie Rabatte versprechen."],
        ),
        (
            "Antworten müssen höflich sein, aber nie Preise nennen.",
            ["Antworten müssen höflich sein.", "Antworten müssen nie Preise nennen."],
        ),
        (
            "Les réponses ne doivent pas être longues et doivent citer la source.",
            ["Les réponses ne doivent pas être longues.", "Les réponses doivent citer la source."],
        ),
        (
            "Les réponses doivent être polies et ne doivent jamais promettre de rabais.",
            [
                "Les réponses doivent être polies.",
                "Les réponses ne doivent jamais promettre de rabais.",
            ],
        ),
        (
            "Las respuestas deben ser corteses y nunca deben prometer reembolsos.",
            [
                "Las respuestas deben ser corteses.",
                "Las respuestas nunca deben prometer reembolsos.",
            ],
        ),
        (
            "Le risposte devono essere brevi e non devono contenere prezzi.",
            ["Le risposte devono essere brevi.", "Le risposte non devono contenere prezzi."],
        ),
    ],
)
def test_each_of_two_demands_is_a_criterion_with_its_subject(wish: str, demands: list[str]) -> None:
    assert [criterion.text for criterion in criteria_of(wish)] == demands


@pytest.mark.parametrize(
    "wish",
    [
        "Die Antworten müssen Datum und Uhrzeit nennen.",
        "Die Antwort darf kein Datum und keine Uhrzeit nennen.",
        "Die Antwort muss immer und überall höflich sein.",
        "Die Antwort muss immer höflich und nie unhöflich sein.",
        "Die Antwort muss höflich sein, aber nicht unterwürfig.",
        "Antworten müssen das nennen, was der Kunde wissen muss und sagen darf.",
        "Wenn es regnet, muss die Antwort kurz sein und darf keine Preise nennen.",
        "Les réponses doivent donner la date et l'heure.",
        "Les réponses doivent dire ce que le client reçoit et doit payer.",
        "Les réponses doivent dire que le prix est fixe et que le client doit payer la facture.",
        "Les réponses ne doivent pas être longues et jamais impolies.",
        "Las respuestas deben indicar la fecha y la hora.",
    ],
)
def test_what_may_be_one_demand_stays_one(wish: str) -> None:
    assert [criterion.text for criterion in criteria_of(wish)] == [wish]
