"""The fields of a draft, as Kiln's format holds them."""

from kiln_mcp.spec_texts.content_fields import content_from, fields_from
from kiln_mcp.spec_texts.session_events import Draft
from kiln_mcp.spec_texts.spec_kinds import FORMS, properties_of


def fields_of_draft(draft: Draft) -> dict[str, str]:
    """Return the fields of a draft: as somebody wrote them, or rendered from its clauses."""
    fields = draft.fields or fields_from(draft.content)
    return {**fields, **draft.other_fields}


def with_field(draft: Draft, field: str, text: str) -> Draft:
    """Return a draft with another text of one field; clauses that stay keep their ids.

    Raises:
        Refusal: Its kind has no such field, or the field must not be empty.
    """
    fields = {**fields_of_draft(draft), field: text}
    return with_fields(draft, {name: value for name, value in fields.items() if value.strip()})


def with_fields(draft: Draft, fields: dict[str, str]) -> Draft:
    """Return a draft with other fields; clauses that stay keep their ids.

    Raises:
        Refusal: They are not those of its kind, or a required one is empty.
    """
    kind = draft.content.kind
    properties_of(kind, fields)
    form = FORMS[kind]
    content_fields = {form.core, form.detail, form.good, form.bad}
    content = content_from(kind, draft.content.name, fields, draft.content)
    return draft.replace(
        content=content,
        fields={name: text for name, text in fields.items() if name in content_fields},
        other_fields={name: text for name, text in fields.items() if name not in content_fields},
    )
