"""Check the references of a JSON Schema and measure its size, without a value."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, cast

from storage.isolation.patterns import linear_pattern

_Resolver = Any
"""Of `referencing`, which keeps the type to itself."""
_IN_PLACE: Final = frozenset(
    {"allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas"}
)
"""Keywords whose schemas apply to the same value, so that nothing of it is used up."""
_MAPS: Final = frozenset(
    {"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"}
)
_INERT: Final = frozenset({"$defs", "definitions"})
_SUBSCHEMAS: Final = _IN_PLACE | {
    "properties",
    "patternProperties",
    "items",
    "prefixItems",
    "additionalProperties",
    "additionalItems",
    "contains",
    "propertyNames",
    "unevaluatedItems",
    "unevaluatedProperties",
    "contentSchema",
    *_INERT,
}
_REFERENCES: Final = ("$ref", "$dynamicRef")
_PLAIN_SCHEMAS: Final = frozenset(
    {"allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas", "properties"}
    | {"items", "prefixItems", "additionalProperties", "contains", "propertyNames"}
)
_PLAIN: Final = frozenset(
    {"type", "enum", "const", "required", "dependentRequired", "format", "default", "examples"}
    | {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"}
    | {"minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"}
    | {"minContains", "maxContains", "title", "description", "deprecated", "readOnly"}
    | {"writeOnly", "$schema", "$comment", "$defs", "definitions", "$ref", "pattern"}
)


def find_fault(schema: Mapping[str, Any]) -> str | None:
    """Return why a reference leads nowhere, elsewhere or round in a circle; None if none does.

    A reference that recurs is fine where each round uses up a part of the value, as a property or
    an item does. One that comes back to the same value is endless.
    """
    try:
        return _Search(schema).run()
    except RecursionError:
        return "the schema is nested too deeply"


@dataclass(slots=True)
class _Search:
    """A depth-first search along what applies to one value, for each place of the schema."""

    root: Mapping[str, Any]
    open: set[int] = field(default_factory=set[int])
    done: set[int] = field(default_factory=set[int])
    later: list[tuple[Any, _Resolver]] = field(default_factory=list[tuple[Any, _Resolver]])

    def run(self) -> str | None:
        self.later.append((self.root, _resolver(self.root)))
        while self.later:
            schema, resolver = self.later.pop()
            fault = self._visit(schema, resolver, "")
            if fault:
                return fault
        return None

    def _visit(self, schema: Any, resolver: _Resolver, by: str) -> str | None:
        if not isinstance(schema, dict) or id(cast("object", schema)) in self.done:
            return None
        parts = cast("dict[str, Any]", schema)
        if id(parts) in self.open:
            return f"the $ref {by!r} is endless: it comes back to the same value"
        resolver = _within(parts, resolver)
        self.open.add(id(parts))
        for keyword in _REFERENCES:
            reference = parts.get(keyword)
            if isinstance(reference, str):
                fault = self._follow(reference, resolver)
                if fault:
                    return fault
        for keyword, child in _children(parts):
            if keyword not in _IN_PLACE:
                self.later.append((child, resolver))
            elif fault := self._visit(child, resolver, by):
                return fault
        self.open.discard(id(parts))
        self.done.add(id(parts))
        return None

    def _follow(self, reference: str, resolver: _Resolver) -> str | None:
        target = _look_up(reference, resolver)
        if target is None:
            return _dangling(reference)
        contents, beyond = target
        if not isinstance(contents, dict | bool):
            return f"the $ref {reference!r} leads to what is not a schema"
        return self._visit(contents, beyond, reference)


def _dangling(reference: str) -> str:
    if reference.startswith("#"):
        return f"the $ref {reference!r} leads to nothing in this schema"
    return (
        f"the $ref {reference!r} leads out of this schema, and nothing is fetched: copy what it "
        "names into $defs"
    )


def pattern_texts(schema: Any) -> Iterator[str]:
    """Yield the regular expressions of a schema."""
    if not isinstance(schema, dict):
        return
    parts = cast("dict[str, Any]", schema)
    if isinstance(parts.get("pattern"), str):
        yield parts["pattern"]
    if isinstance(parts.get("patternProperties"), dict):
        yield from parts["patternProperties"]
    for _, child in _children(parts):
        yield from pattern_texts(child)


def work_of(schema: Mapping[str, Any]) -> int | None:
    """Return the size of a schema with each reference written out; None if it is not plain."""
    try:
        return _Sizes().of(schema, _resolver(schema))
    except (_NotPlain, RecursionError):
        return None


class _NotPlain(Exception):
    """A keyword is not known to be quick, or a reference recurs."""


@dataclass(slots=True)
class _Sizes:
    """The sizes of schemas, each counted once however often it is referred to."""

    sizes: dict[int, int | None] = field(default_factory=dict[int, int | None])

    def of(self, schema: Any, resolver: _Resolver) -> int:
        if isinstance(schema, bool):
            return 1
        if not isinstance(schema, dict):
            raise _NotPlain
        parts = cast("dict[str, Any]", schema)
        if id(parts) in self.sizes:
            size = self.sizes[id(parts)]
            if size is None:  # it is being counted: it refers to itself
                raise _NotPlain
            return size
        self.sizes[id(parts)] = None
        size = self.sizes[id(parts)] = self._count(parts, resolver)
        return size

    def _count(self, parts: Mapping[str, Any], resolver: _Resolver) -> int:
        if not all(_is_plain(keyword, value) for keyword, value in parts.items()):
            raise _NotPlain
        size = 1 + sum(_length(parts.get(keyword)) for keyword in ("enum", "required"))
        if "$ref" in parts:
            target = _look_up(parts["$ref"], resolver)
            if target is None:
                raise _NotPlain
            size += self.of(*target)
        for keyword, child in _children(parts):
            if keyword not in _INERT:
                size += self.of(child, resolver)
        return size


def _is_plain(keyword: str, value: Any) -> bool:
    if keyword == "pattern":
        return isinstance(value, str) and linear_pattern(value) is not None
    if keyword == "$ref":
        return isinstance(value, str)
    return keyword in _PLAIN or keyword in _PLAIN_SCHEMAS


def _length(value: Any) -> int:
    return len(cast("list[object]", value)) if isinstance(value, list) else 0


def _children(schema: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the schemas within a schema, with the keyword that holds them."""
    for keyword in schema.keys() & _SUBSCHEMAS:
        value: object = schema[keyword]
        if keyword in _MAPS and isinstance(value, dict):
            for child in cast("dict[str, Any]", value).values():
                yield keyword, child
        elif isinstance(value, list):
            for child in cast("list[Any]", value):
                yield keyword, child
        else:
            yield keyword, value


def _resolver(schema: Mapping[str, Any]) -> _Resolver:
    from referencing import Registry
    from referencing.jsonschema import DRAFT202012

    registry: Registry[Any] = Registry()
    return registry.resolver_with_root(DRAFT202012.create_resource(schema))


def _within(schema: Mapping[str, Any], resolver: _Resolver) -> _Resolver:
    """Return the resolver of a schema that may have an address of its own."""
    if "$id" not in schema:
        return resolver
    from referencing.jsonschema import DRAFT202012

    return resolver.in_subresource(DRAFT202012.create_resource(schema))


def _look_up(reference: str, resolver: _Resolver) -> tuple[Any, _Resolver] | None:
    from referencing.exceptions import Unresolvable

    try:
        match = resolver.lookup(reference)
    except (Unresolvable, ValueError, TypeError, AttributeError):
        return None
    return match.contents, match.resolver
