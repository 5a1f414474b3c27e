"""Tickets of a shop in four labels, from templates; no phrasing of the test is in the training."""

import random
from itertools import product

LABELS = ("billing", "shipping", "account", "defect")
SYSTEM = "Sort the customer's message. Answer with one word: billing, shipping, account or defect."
_THINGS = ("lamp", "kettle", "jacket", "keyboard", "bicycle")
_TIMES = ("yesterday", "last week", "on Monday", "this morning", "in May")

TRAIN = {
    "billing": (
        "I was charged twice for the {thing} {time}.",
        "The invoice I got {time} shows the wrong sum for my {thing}.",
        "Please pay back the money for the {thing} that I cancelled {time}.",
        "Why does the receipt for the {thing} from {time} contain an extra fee?",
        "My card was debited {time} although the {thing} was a gift.",
        "Can I get the tax shown on the bill of the {thing} bought {time}?",
        "The discount for the {thing} was not taken off the price {time}.",
        "You took the payment for a {thing} {time} that I never ordered.",
    ),
    "shipping": (
        "My {thing} was sent {time} and has not arrived.",
        "The parcel with the {thing} went to the wrong address {time}.",
        "Where is the {thing} that left your warehouse {time}?",
        "The courier did not ring {time} and took the {thing} back.",
        "How long does the delivery of a {thing} take if I order {time}?",
        "Tracking of the {thing} has not moved since {time}.",
        "I would like the {thing} from {time} delivered to my office instead.",
        "The {thing} was meant to come {time}; when does it get here?",
    ),
    "account": (
        "I cannot log in since {time}, my {thing} order is in there.",
        "Please change the e-mail of my profile, I bought a {thing} {time}.",
        "The link to reset my password from {time} does not work, I wanted a {thing}.",
        "Delete my user data, I only came for a {thing} {time}.",
        "My login was locked {time} while I looked at a {thing}.",
        "How do I add a second user who may order the {thing}? I asked {time}.",
        "I forgot my user name, I registered {time} to buy a {thing}.",
        "The code for signing in did not come {time}, and the {thing} is in my basket.",
    ),
    "defect": (
        "The {thing} I got {time} does not turn on.",
        "A part of the {thing} broke off {time}.",
        "The {thing} makes a strange noise since {time}.",
        "My {thing} came with a crack, I saw it {time}.",
        "The {thing} stopped working {time} after one hour.",
        "There is a hole in the {thing}, I noticed {time}.",
        "The {thing} smells burnt since I used it {time}.",
        "One button of the {thing} has been stuck since {time}.",
    ),
}
TEST = {
    "billing": (
        "There are two withdrawals on my statement for one {thing}, both {time}.",
        "I returned the {thing} {time}; when is the amount refunded?",
        "The total for the {thing} is higher than what I agreed to {time}.",
        "Send me a corrected invoice for the {thing}, the one of {time} lacks my company.",
        "The voucher I entered {time} was not applied to the cost of the {thing}.",
        "I still get monthly charges for the {thing} I paid off {time}.",
    ),
    "shipping": (
        "Nobody brought the {thing} {time} though I waited all day.",
        "The package of my {thing} has been at the depot since {time}.",
        "Can you hold back the {thing} {time}, I am on holiday when it would be delivered?",
        "The neighbour was handed my {thing} {time} and I do not know which one.",
        "Has the {thing} been dispatched {time} or not?",
        "My order is late: the {thing} should have been here {time}.",
    ),
    "account": (
        "Signing in fails with an error {time}, so I cannot see my {thing}.",
        "I want to close my membership after the {thing} I got {time}.",
        "Someone else used my login {time} to look at a {thing}.",
        "Please update my phone number in the profile; I ordered a {thing} {time}.",
        "The password I set {time} is rejected when I want to buy a {thing}.",
        "I have two profiles since {time}, please merge them, the {thing} is in one.",
    ),
    "defect": (
        "The {thing} fell apart {time} when I first used it.",
        "Since {time} the {thing} will not charge any more.",
        "There are scratches all over the {thing} I unpacked {time}.",
        "The {thing} overheats; {time} it switched itself off.",
        "A screw of the {thing} was missing {time} and it wobbles.",
        "What I unpacked {time} is a {thing} that is torn at the side.",
    ),
}


def tickets(
    templates: dict[str, tuple[str, ...]], per_label: int, seed: int
) -> list[tuple[str, str]]:
    """Return tickets with their labels, as many of each label, in random order."""
    chance = random.Random(seed)
    rows: list[tuple[str, str]] = []
    for label in LABELS:
        texts = [
            template.format(thing=thing, time=time)
            for template, thing, time in product(templates[label], _THINGS, _TIMES)
        ]
        # Every template comes up as often as the others.
        size = len(_THINGS) * len(_TIMES)
        groups = [texts[start : start + size] for start in range(0, len(texts), size)]
        for group in groups:
            chance.shuffle(group)
        chosen = [groups[n % len(groups)][n // len(groups)] for n in range(per_label)]
        rows += [(text, label) for text in chosen]
    chance.shuffle(rows)
    return rows
