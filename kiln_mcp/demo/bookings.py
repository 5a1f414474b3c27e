"""The demo's own data: messages of guests who book a table, written by hand.

Every form has three names of its own, and no name stands in two forms. Dealt by form, a held-out
message therefore has a wording and a name that no other part has.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from pydantic import JsonValue

DAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
WORDS: Final = ("two", "three", "four", "five", "six", "seven", "eight", "nine")
MINUTES: Final = ("00", "15", "30", "45")
IN_WORDS: Final = 0.2
"""Share of messages that give the number of people as a word."""

INSTRUCTION: Final = (
    "Read the message of a guest who books a table. Answer with JSON: name, day, time, people."
)
WISH: Final = (
    "Every booking message becomes JSON with exactly the guest's name, the day, the time and the "
    "number of people."
)
SCHEMA: Final[Mapping[str, JsonValue]] = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 30},
        "day": {"type": "string", "enum": list(DAYS)},
        "time": {"type": "string", "maxLength": 10},
        "people": {"type": "integer", "minimum": 1, "maximum": 99},
    },
    "required": ["name", "day", "time", "people"],
    "additionalProperties": False,
}


@dataclass(frozen=True, slots=True)
class Booking:
    """A message with what is to be read out of it.

    Attributes:
        message: What the guest wrote.
        form: Which form of words it has.
        name: The guest.
        day: The weekday.
        time: As hours and minutes.
        people: How many come.
    """

    message: str
    form: str
    name: str
    day: str
    time: str
    people: int

    @property
    def item(self) -> dict[str, JsonValue]:
        """The booking as `add_data` takes it."""
        right: dict[str, JsonValue] = {
            "name": self.name,
            "day": self.day,
            "time": self.time,
            "people": self.people,
        }
        return {"input": self.message, "output": right, "topic": self.form}


def make_bookings(seed: int) -> list[Booking]:
    """Return three messages of every form, with values drawn by the seed."""
    draw = random.Random(f"{seed}/bookings")
    bookings: list[Booking] = []
    for number, (form, *names) in enumerate(FORMS, 1):
        for name in names:
            people = draw.randint(2, 9)
            day = draw.choice(DAYS)
            time = f"{draw.randint(11, 21)}:{draw.choice(MINUTES)}"
            amount = WORDS[people - 2] if draw.random() < IN_WORDS else str(people)
            text = form.format(name=name, day=day, time=time, people=amount)
            message = text if form.startswith("hi ") else text[0].upper() + text[1:]
            bookings.append(Booking(message, f"form {number}", name, day, time, people))
    return bookings


FORMS: Final[tuple[tuple[str, str, str, str], ...]] = (
    ("A table for {people} on {day} at {time}, please. {name}", "Marta", "Okafor", "Ines"),
    (
        "Hello, {name} here. We are {people} and would come on {day} at {time}.",
        "Lindqvist",
        "Aisha",
        "Greta",
    ),
    (
        "Could you keep {time} on {day} for us? There will be {people} of us. Thanks, {name}",
        "Moretti",
        "Hannah",
        "Haddad",
    ),
    (
        "Good evening, my name is {name}. Is there room for {people} at {time} this {day}?",
        "Nora",
        "Brandt",
        "Priya",
    ),
    ("{day}, {time}, {people} people. {name}", "Petrova", "Jonas", "Chloe"),
    ("Please book {people} seats under {name} for {day}, {time}.", "Osei", "Tanaka", "Rosa"),
    (
        "We'd love to eat with you on {day}. {people} guests, arriving {time}. Best wishes, {name}",
        "Carter",
        "Leila",
        "Novak",
    ),
    ("hi its {name}, {people} of us, {day} {time}, ok?", "Sofia", "Mila", "Adeyemi"),
    (
        "Reservation: {name}. Date: {day}. Time: {time}. Party of {people}.",
        "Fontaine",
        "Dragan",
        "Grace",
    ),
    (
        "Would {time} suit you? I am thinking of {day}, {people} persons. Kind regards, {name}",
        "Laurent",
        "Diallo",
        "Viktor",
    ),
    (
        "After the theatre on {day} we are hungry: {people} people, {time}. Yours, {name}",
        "Papadaki",
        "Henrik",
        "Dana",
    ),
    (
        "This is {name} from next door. Have you got {people} chairs free on {day} around {time}?",
        "Silva",
        "Freya",
        "Mehta",
    ),
    (
        "My husband turns fifty on {day}! {people} guests at {time}, please confirm. {name}",
        "Bianca",
        "Kowalski",
        "Yusuf",
    ),
    (
        "If it is not too much trouble, {people} places at {time} on {day}. Sincerely, {name}",
        "Andersen",
        "Paloma",
        "Stein",
    ),
    (
        "I'm {name}. Put us down for {day}, {people} people, we get there by {time}.",
        "Miriam",
        "Castillo",
        "Egon",
    ),
    (
        "Our office goes out on {day}. Count {people} heads from {time}. Regards, {name}",
        "Tamsin",
        "Ferreira",
        "Jokela",
    ),
    (
        "{name} would like a table on {day}. It's for {people}, and the time is {time}.",
        "Ostrowski",
        "Celia",
        "Bashir",
    ),
    (
        "Any chance of a quiet corner for {people}? {day} {time} would be perfect. Thanks, {name}",
        "Wanda",
        "Ibrahim",
        "Lacroix",
    ),
    ("As every week: {name}, {people} people, {day}, {time}.", "Hofer", "Ngozi", "Sandra"),
    (
        "Sorry for the late notice, but can {people} of us come at {time} on {day}? Cheers, {name}",
        "Reuben",
        "Vasquez",
        "Irina",
    ),
    (
        "Booking for {day} please. Name {name}, {time}, {people} adults.",
        "Takeda",
        "Louisa",
        "Marek",
    ),
    (
        "We land on {day} and will be starving. {time}, {people} of us, name of {name}.",
        "Gallagher",
        "Amina",
        "Torsten",
    ),
    (
        "On {day} my sister visits. Do you have space for {people} at {time}? {name}",
        "Delphine",
        "Rossi",
        "Kwame",
    ),
    (
        "To the manager: {name} requests a table for {people} persons, {day} at {time}.",
        "Whitfield",
        "Annika",
        "Pereira",
    ),
    (
        "At {time} on {day} we will be {people}. See you then, {name}",
        "Bogdan",
        "Clarice",
        "Nakamura",
    ),
    (
        "What a lovely place! {people} of us want to return on {day} at {time}. Greetings, {name}",
        "Sigrid",
        "Mbeki",
        "Daphne",
    ),
    ("Can I reserve? {day}. {time}. {people} people. I am {name}.", "Fischer", "Zainab", "Coleman"),
    (
        "Put {name} on your list: {people} people for {day}, from {time} on.",
        "Emil",
        "Radu",
        "Josefine",
    ),
    (
        "Celebrating on {day}, so {people} seats at {time}, by the window. Love, {name}",
        "Octavia",
        "Bergman",
        "Tariq",
    ),
    (
        "It would be {people} of us, {day}, {time}. You can call me back, ask for {name}.",
        "Lorenzo",
        "Maeve",
        "Schmitt",
    ),
    ("{time} on {day}: {people} hungry hikers! Signed, {name}", "Kasimir", "Helena", "Obi"),
    (
        "Dear team, for {day} I need {people} seats at {time}. With thanks, {name}",
        "Duval",
        "Ramona",
        "Pekka",
    ),
    (
        "Is the terrace open on {day}? Then {people} of us at {time}. {name}",
        "Isolde",
        "Murphy",
        "Adnan",
    ),
    ("For {name}, {people} covers, {day} evening, {time} sharp.", "Caruso", "Thelma", "Joachim"),
    (
        "The choir has rehearsal on {day}. Afterwards, say {time}, {people} singers come. {name}",
        "Valentin",
        "Dufour",
        "Hilda",
    ),
    (
        "I'd like to invite friends on {day}: {people} in all, {time}. Who writes: {name}",
        "Noor",
        "Grantham",
        "Leopold",
    ),
    ("Table wanted! {people} people / {day} / {time} / {name}", "Selma", "Bianchi", "Rufus"),
    (
        "Hey there, {name} speaking, do {people} of us fit in on {day} at {time}?",
        "Ottoline",
        "Hansen",
        "Farid",
    ),
    (
        "We are coming on {day}, {people} of us, not before {time}. All the best, {name}",
        "Caspar",
        "Yamada",
        "Lucinda",
    ),
    (
        "Kindly note a booking by {name}: {day}, {time}, {people} diners.",
        "Borges",
        "Elspeth",
        "Idris",
    ),
    (
        "Grandma wants pancakes on {day}. So {time} for {people}. {name}",
        "Malte",
        "Oyelaran",
        "Pippa",
    ),
    (
        "Let us have the round table at {time}. We will be {people}, on {day}. {name}",
        "Roswitha",
        "Keane",
        "Anselm",
    ),
    (
        "Has {day} still got room? {name} asks for {people} people at {time}.",
        "Benedikt",
        "Salma",
        "Truong",
    ),
    (
        "Meeting with clients on {day}, {people} participants, lunch from {time}. Contact: {name}",
        "Vivienne",
        "Larsen",
        "Ottokar",
    ),
    (
        "I promised my kids a pizza on {day}. {people} of us. {time}. Thanks! {name}",
        "Zelda",
        "Mancini",
        "Harun",
    ),
    ("Save {people} seats, will you? {name}, {day}, {time}.", "Cordula", "Petit", "Stellan"),
    (
        "From {name}: we will dine with you on {day} at {time}, {people} of us.",
        "Ambrose",
        "Nilsen",
        "Katya",
    ),
    (
        "You were full last time. What about {day}, {time}, {people} people? Hopeful, {name}",
        "Gideon",
        "Esposito",
        "Wilma",
    ),
)
