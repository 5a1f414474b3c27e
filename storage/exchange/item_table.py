"""The new items of a table: what is bad, repeated or contradicted is set apart."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Final

from storage.exchange.columns import BadRow
from storage.exchange.example_table import ExampleTable
from storage.exchange.examples import Example, is_empty, text_of_value
from storage.exchange.item_keys import ItemKeys, Standing, key_of
from storage.exchange.item_records import NewItem, RecordMaker
from storage.text.excerpts import excerpt

_MOST_NAMED: Final = 50
_MOST_REFERENCES: Final = 8
_LONGEST: Final = 200


class Contradictions(Enum):
    """What is done with items whose input has several references.

    LEAVE_OUT: None of them goes in, so that a person decides.
    FIRST: The first of them goes in, unless the dataset has one already.
    ALL: One item goes in, with all references as its right outputs.
    """

    LEAVE_OUT = "leave_out"
    FIRST = "first"
    ALL = "all"


@dataclass(slots=True)
class Contradiction:
    """An input with several references.

    Attributes:
        input: An excerpt of the input.
        references: An excerpt of each reference, by where it is: "line 5", "dataset".
    """

    input: str
    references: dict[str, str] = field(default_factory=dict[str, str])


@dataclass(slots=True)
class Survey:
    """What a first reading of a table tells.

    Attributes:
        row_count: How many rows it has; 0 if they were not counted.
        output_count: How many of them have an output.
        keys: Its inputs and references.
        references: All references of inputs with several, by their keys, if each is right.
    """

    row_count: int = 0
    output_count: int = 0
    keys: ItemKeys = field(default_factory=ItemKeys)
    references: dict[int, dict[int, object]] = field(default_factory=dict[int, dict[int, object]])


@dataclass(slots=True)
class ItemTable:
    """The items of a table in order, once.

    Attributes:
        examples: The rows as examples.
        maker: Makes records of them.
        known_items: The items of the dataset; those of the table are added.
        rule: What is done with contradictions.
        survey: What the first reading told.
        repeats: Rows whose item was there; counted while reading.
        without_output: Rows with an input alone.
        merge_count: Rows whose reference is another right output of an item before.
        contradiction_count: Rows that were left out as contradictions.
        contradictions: The first inputs with several references.
    """

    examples: ExampleTable
    maker: RecordMaker
    known_items: ItemKeys
    rule: Contradictions
    survey: Survey
    repeats: int = 0
    without_output: int = 0
    merge_count: int = 0
    contradiction_count: int = 0
    contradictions: dict[int, Contradiction] = field(default_factory=dict[int, Contradiction])
    _own_inputs: set[int] = field(default_factory=set[int])

    def __iter__(self) -> Iterator[tuple[int, NewItem | BadRow]]:
        """Return each row's number, and its new item or what is wrong with it."""
        for place, (number, example) in enumerate(self.examples, start=1):
            if isinstance(example, BadRow):
                yield number, example
            elif self.survey.output_count and self._lacks_output(example):
                yield number, BadRow(number, "its output is empty, and other rows have one")
            elif self.maker.is_answer(example):
                yield number, self._item(example, place, number)
            else:
                keys = keys_of(example, self.maker)
                if self._goes_in(keys, example, number):
                    item = self._item(self._with_references(example, keys), place, number)
                    if isinstance(item, NewItem):
                        self.known_items.add(*keys)
                        self.without_output += not keys[1]
                    yield number, item

    def _lacks_output(self, example: Example) -> bool:
        return is_empty(self.maker.output_of(example)) and not example.is_open

    def _item(self, example: Example, place: int, number: int) -> NewItem | BadRow:
        try:
            return self.maker.item(example, place)
        except (ValueError, RecursionError) as error:
            return BadRow(number, str(error))

    def _goes_in(self, keys: tuple[int, int], example: Example, number: int) -> bool:
        """Whether an item is new and not contradicted, or is to go in all the same."""
        question, answer = keys
        is_open = question in self.survey.keys.contradicted_inputs
        standing = self.known_items.standing(question, answer)
        if is_open and self.rule is Contradictions.ALL:
            return self._is_first(keys, standing, example, number)
        if standing is Standing.REPEAT and not is_open:
            self.repeats += 1
            return False
        if is_open or standing is Standing.CONTRADICTION:
            self._note(question, example, number)
            if self.rule is Contradictions.LEAVE_OUT or standing is Standing.REPEAT:
                self.contradiction_count += self.rule is Contradictions.LEAVE_OUT
                return False
            if standing is Standing.CONTRADICTION and self.rule is Contradictions.FIRST:
                self.contradiction_count += 1
                return False
        return True

    def _is_first(
        self, keys: tuple[int, int], standing: Standing, example: Example, number: int
    ) -> bool:
        """Whether an item is the first of an input whose references are all right."""
        question, answer = keys
        if standing is Standing.NEW and answer:
            self._own_inputs.add(question)
            return True
        if question in self._own_inputs and standing is Standing.CONTRADICTION:
            self.merge_count += 1
        elif standing is Standing.CONTRADICTION:
            self._note(question, example, number)
            self.contradiction_count += 1
        else:
            self.repeats += 1
        return False

    def _with_references(self, example: Example, keys: tuple[int, int]) -> Example:
        """Return an example with the other references of its input, if all are right."""
        references = self.survey.references.get(keys[0], {})
        further_outputs = tuple(value for key, value in references.items() if key != keys[1])
        if not further_outputs:
            return example
        own = [value for value in example.alternatives if key_of(value) not in references]
        return replace(example, alternatives=(*own, *further_outputs))

    def _note(self, question: int, example: Example, number: int) -> None:
        if question not in self.contradictions and len(self.contradictions) < _MOST_NAMED:
            text = excerpt(text_of_value(example.input), _LONGEST)
            self.contradictions[question] = Contradiction(text)
        contradiction = self.contradictions.get(question)
        if contradiction is not None and len(contradiction.references) < _MOST_REFERENCES:
            output = excerpt(text_of_value(self.maker.output_of(example)), _LONGEST)
            contradiction.references[f"{self.examples.source.unit} {number}"] = output


def keys_of(example: Example, maker: RecordMaker) -> tuple[int, int]:
    """Return the numbers of an item's input and of its right output."""
    output = example.columns.get("repaired") or maker.output_of(example)
    return key_of(example.input), key_of(output)


def survey_of(
    examples: ExampleTable, maker: RecordMaker, rule: Contradictions = Contradictions.LEAVE_OUT
) -> Survey:
    """Read a table for the first time; traces hold no references, so these are read once.

    If all references of an input are right, it is read once more for those of inputs with several.
    """
    survey = Survey()
    if examples.is_traces and maker.origin.outputs != "right":
        return survey
    for _, example in examples:
        survey.row_count += 1
        if isinstance(example, BadRow):
            continue
        survey.output_count += not is_empty(maker.output_of(example))
        if not maker.is_answer(example):
            survey.keys.add(*keys_of(example, maker))
    if rule is Contradictions.ALL and survey.keys.contradicted_inputs:
        _read_references(examples, maker, survey)
    return survey


def _read_references(examples: ExampleTable, maker: RecordMaker, survey: Survey) -> None:
    """Keep the references of inputs that have several, each once."""
    for _, example in examples:
        if isinstance(example, BadRow) or maker.is_answer(example):
            continue
        question, answer = keys_of(example, maker)
        if answer and question in survey.keys.contradicted_inputs:
            output = example.columns.get("repaired") or maker.output_of(example)
            survey.references.setdefault(question, {}).setdefault(answer, output)
