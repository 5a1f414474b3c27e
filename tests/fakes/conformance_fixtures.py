"""What the official conformance suite expects a server under test to offer.

The names and behaviours are those of the suite's scenarios. The fixtures answer beside the real
tools, prompts and resources of the server, through its own handlers.
"""

import hmac
import json
import secrets
from collections.abc import Awaitable, Callable, Mapping
from hashlib import sha256
from typing import Any, Final

import mcp_types as types
from mcp.server.lowlevel.server import Server
from mcp.shared.exceptions import MCPError
from mcp.shared.message import ServerMessageMetadata

from kiln_mcp.doors.server.context import Context
from kiln_mcp.workbench.workspace import Workspace

Outcome = types.CallToolResult | types.InputRequiredResult
Tool = Callable[[Context, types.CallToolRequestParams], Awaitable[Outcome]]
Schema = dict[str, Any]

PIXEL: Final = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8Dw"
    "HwAFBQIAX8jx0gAAAABJRU5ErkJggg=="
)
SILENCE: Final = "UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQIAAAA="
NO_ARGUMENTS: Final[Schema] = {"type": "object", "properties": {}}
RICH_SCHEMA: Final[Schema] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {
        "address": {
            "$anchor": "addressDef",
            "type": "object",
            "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
        }
    },
    "properties": {
        "name": {"type": "string"},
        "address": {"$ref": "#/$defs/address"},
        "contactMethod": {"type": "string", "enum": ["phone", "email"]},
        "phone": {"type": "string"},
        "email": {"type": "string"},
    },
    "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
    "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
    "then": {"required": ["phone"]},
    "else": {"required": ["email"]},
    "additionalProperties": False,
}
TOOLS: Final[dict[str, tuple[Tool, Schema]]] = {}


def tool(name: str, schema: Schema = NO_ARGUMENTS) -> Callable[[Tool], Tool]:
    """Register a tool."""

    def register(function: Tool) -> Tool:
        TOOLS[name] = (function, schema)
        return function

    return register


def texts(**names: str) -> Schema:
    properties = {name: {"type": "string", "description": what} for name, what in names.items()}
    return {"type": "object", "properties": properties, "required": list(names)}


def result(*content: types.ContentBlock) -> types.CallToolResult:
    return types.CallToolResult(content=list(content))


def text(words: str) -> types.TextContent:
    return types.TextContent(type="text", text=words)


def image() -> types.ImageContent:
    return types.ImageContent(type="image", data=PIXEL, mime_type="image/png")


def page(uri: str, words: str, mime: str = "text/plain") -> types.EmbeddedResource:
    contents = types.TextResourceContents(uri=uri, mime_type=mime, text=words)
    return types.EmbeddedResource(type="resource", resource=contents)


# ---------------------------------------------------------------- content


@tool("test_simple_text")
async def simple_text(context: Context, params: types.CallToolRequestParams) -> Outcome:
    return result(text("This is a simple text response for testing."))


@tool("test_image_content")
async def image_content(context: Context, params: types.CallToolRequestParams) -> Outcome:
    return result(image())


@tool("test_audio_content")
async def audio_content(context: Context, params: types.CallToolRequestParams) -> Outcome:
    return result(types.AudioContent(type="audio", data=SILENCE, mime_type="audio/wav"))


@tool("test_embedded_resource")
async def embedded_resource(context: Context, params: types.CallToolRequestParams) -> Outcome:
    return result(page("test://embedded-resource", "This is an embedded resource content."))


@tool("test_multiple_content_types")
async def mixed_content(context: Context, params: types.CallToolRequestParams) -> Outcome:
    data = page("test://mixed-content-resource", '{"test":"data"}', "application/json")
    return result(text("Multiple content types test:"), image(), data)


@tool("test_error_handling")
async def error_handling(context: Context, params: types.CallToolRequestParams) -> Outcome:
    words = text("This tool intentionally returns an error for testing")
    return types.CallToolResult(content=[words], is_error=True)


@tool("test_tool_with_progress")
async def progress(context: Context, params: types.CallToolRequestParams) -> Outcome:
    for step in (0, 50, 100):
        await context.session.report_progress(step, 100, f"Completed step {step} of 100")
    return result(text("Done."))


REGION: Final[Schema] = {
    "type": "object",
    "properties": {"region": {"type": "string", "x-mcp-header": "Region"}},
    "required": ["region"],
}


@tool("test_region", REGION)
async def region(context: Context, params: types.CallToolRequestParams) -> Outcome:
    return result(text(str((params.arguments or {})["region"])))


@tool("json_schema_2020_12_tool", RICH_SCHEMA)
async def rich_schema(context: Context, params: types.CallToolRequestParams) -> Outcome:
    return result(text("Valid."))


# ---------------------------------------------------------------- the person and the model, pushed


async def ask(context: Context, message: str, schema: Schema, label: str) -> Outcome:
    answer = await context.session.elicit_form(
        message, schema, related_request_id=context.request_id
    )
    content = json.dumps(answer.content or {})
    return result(text(f"{label}: action={answer.action}, content={content}"))


@tool("test_sampling", texts(prompt="What to ask."))
async def sampling(context: Context, params: types.CallToolRequestParams) -> Outcome:
    prompt = str((params.arguments or {})["prompt"])
    request = types.CreateMessageRequestParams(
        messages=[types.SamplingMessage(role="user", content=text(prompt))], max_tokens=100
    )
    answer = await context.session.send_request(
        types.CreateMessageRequest(params=request),
        types.CreateMessageResult,
        metadata=ServerMessageMetadata(related_request_id=context.request_id),
    )
    words = answer.content.text if isinstance(answer.content, types.TextContent) else ""
    return result(text(f"LLM response: {words}"))


@tool("test_elicitation", texts(message="What to ask the person."))
async def elicitation(context: Context, params: types.CallToolRequestParams) -> Outcome:
    message = str((params.arguments or {})["message"])
    schema = texts(username="User's response", email="User's email address")
    return await ask(context, message, schema, "User response")


@tool("test_elicitation_sep1034_defaults")
async def default_values(context: Context, params: types.CallToolRequestParams) -> Outcome:
    states = ["active", "inactive", "pending"]
    schema: Schema = {
        "type": "object",
        "properties": {
            "name": {"type": "string", "default": "John Doe"},
            "age": {"type": "integer", "default": 30},
            "score": {"type": "number", "default": 95.5},
            "status": {"type": "string", "enum": states, "default": "active"},
            "verified": {"type": "boolean", "default": True},
        },
        "required": [],
    }
    return await ask(context, "Who are you?", schema, "Elicitation completed")


@tool("test_elicitation_sep1330_enums")
async def enum_variants(context: Context, params: types.CallToolRequestParams) -> Outcome:
    options = ["option1", "option2", "option3"]
    titles = [{"const": f"value{n}", "title": f"Choice {n}"} for n in (1, 2, 3)]
    names = ["Option One", "Option Two", "Option Three"]
    schema: Schema = {
        "type": "object",
        "properties": {
            "untitledSingle": {"type": "string", "enum": options},
            "titledSingle": {"type": "string", "oneOf": titles},
            "legacyEnum": {"type": "string", "enum": ["opt1", "opt2", "opt3"], "enumNames": names},
            "untitledMulti": {"type": "array", "items": {"type": "string", "enum": options}},
            "titledMulti": {"type": "array", "items": {"anyOf": titles}},
        },
        "required": [],
    }
    return await ask(context, "Choose.", schema, "Elicitation completed")


# ---------------------------------------------------------------- the same, asked by a reply


def form(message: str, name: str, kind: str = "string") -> types.ElicitRequest:
    schema: types.ElicitRequestedSchema = {
        "type": "object",
        "properties": {name: {"type": kind}},
        "required": [name],
    }
    params = types.ElicitRequestFormParams(message=message, requested_schema=schema)
    return types.ElicitRequest(params=params)


def question(words: str, most: int = 100) -> types.CreateMessageRequest:
    messages = [types.SamplingMessage(role="user", content=text(words))]
    params = types.CreateMessageRequestParams(messages=messages, max_tokens=most)
    return types.CreateMessageRequest(params=params)


Requests = dict[str, Any]


def needs(requests: Requests, state: str | None = None) -> types.InputRequiredResult:
    return types.InputRequiredResult(input_requests=requests, request_state=state)


def filled(params: types.InputResponseRequestParams, key: str, name: str) -> object:
    """Return the field of an accepted form; None if the response holds none."""
    answer = (params.input_responses or {}).get(key)
    return (answer.content or {}).get(name) if isinstance(answer, types.ElicitResult) else None


@tool("test_input_required_result_elicitation")
async def later_elicitation(context: Context, params: types.CallToolRequestParams) -> Outcome:
    name = filled(params, "user_name", "name")
    if name is None:
        return needs({"user_name": form("What is your name?", "name")})
    return result(text(f"Hello, {name}!"))


@tool("test_input_required_result_sampling")
async def later_sampling(context: Context, params: types.CallToolRequestParams) -> Outcome:
    answer = (params.input_responses or {}).get("capital_question")
    if not isinstance(answer, types.CreateMessageResult):
        return needs({"capital_question": question("What is the capital of France?")})
    words = answer.content.text if isinstance(answer.content, types.TextContent) else ""
    return result(text(words))


@tool("test_input_required_result_list_roots")
async def later_roots(context: Context, params: types.CallToolRequestParams) -> Outcome:
    answer = (params.input_responses or {}).get("client_roots")
    if not isinstance(answer, types.ListRootsResult):
        return needs({"client_roots": types.ListRootsRequest()})
    return result(text(", ".join(str(root.uri) for root in answer.roots)))


_KEY: Final = secrets.token_bytes(32)


def sealed(state: str) -> str:
    return f"{state}.{hmac.new(_KEY, state.encode(), sha256).hexdigest()}"


def unsealed(params: types.CallToolRequestParams) -> str | None:
    """Return the state that came back; None if there is none.

    Raises:
        MCPError: It was changed on its way.
    """
    if params.request_state is None:
        return None
    state = params.request_state.rpartition(".")[0]
    if not hmac.compare_digest(sealed(state), params.request_state):
        raise MCPError(types.INVALID_PARAMS, "The request state was changed.")
    return state


async def confirm(params: types.CallToolRequestParams) -> Outcome:
    if unsealed(params) is None or filled(params, "confirm", "ok") is None:
        return needs({"confirm": form("Please confirm", "ok", "boolean")}, sealed("first"))
    return result(text("state-ok"))


@tool("test_input_required_result_request_state")
async def request_state(context: Context, params: types.CallToolRequestParams) -> Outcome:
    return await confirm(params)


@tool("test_input_required_result_tampered_state")
async def tampered_state(context: Context, params: types.CallToolRequestParams) -> Outcome:
    return await confirm(params)


@tool("test_input_required_result_multiple_inputs")
async def several_inputs(context: Context, params: types.CallToolRequestParams) -> Outcome:
    requests: Requests = {
        "user_name": form("What is your name?", "name"),
        "greeting": question("Generate a greeting", 50),
        "client_roots": types.ListRootsRequest(),
    }
    if unsealed(params) is None or not requests.keys() <= (params.input_responses or {}).keys():
        return needs(requests, sealed("several"))
    return result(text("All three answers are there."))


@tool("test_input_required_result_multi_round")
async def several_rounds(context: Context, params: types.CallToolRequestParams) -> Outcome:
    match unsealed(params):
        case "one" if filled(params, "step1", "name"):
            request = {"step2": form("Step 2: What is your favorite color?", "color")}
            return needs(request, sealed("two"))
        case "two" if filled(params, "step2", "color"):
            return result(text("Both steps are done."))
        case _:
            return needs({"step1": form("Step 1: What is your name?", "name")}, sealed("one"))


@tool("test_input_required_result_capabilities")
async def by_capabilities(context: Context, params: types.CallToolRequestParams) -> Outcome:
    capabilities = context.session.client_capabilities
    requests: Requests = {}
    if capabilities is not None and capabilities.elicitation is not None:
        requests["name"] = form("What is your name?", "name")
    if capabilities is not None and capabilities.sampling is not None:
        requests["greeting"] = question("Generate a greeting", 50)
    return needs(requests)


@tool("test_missing_capability")
async def missing_capability(context: Context, params: types.CallToolRequestParams) -> Outcome:
    capabilities = context.session.client_capabilities
    if capabilities is None or capabilities.sampling is None:
        missing: Schema = {"requiredCapabilities": {"sampling": {}}}
        raise MCPError(types.MISSING_REQUIRED_CLIENT_CAPABILITY, "Needs sampling.", missing)
    return result(text("The client can sample."))


@tool("test_streaming_elicitation")
async def streaming_elicitation(context: Context, params: types.CallToolRequestParams) -> Outcome:
    await context.session.report_progress(1, 2, "Half.")
    return needs({"user_name": form("What is your name?", "name")})


@tool("test_logging_tool")
async def quiet(context: Context, params: types.CallToolRequestParams) -> Outcome:
    return result(text("Nothing was logged."))


# ---------------------------------------------------------------- prompts and resources


def message(content: types.ContentBlock) -> types.PromptMessage:
    return types.PromptMessage(role="user", content=content)


def prompt_messages(name: str, values: Mapping[str, str]) -> list[types.PromptMessage] | None:
    match name:
        case "test_simple_prompt":
            return [message(text("This is a simple prompt for testing."))]
        case "test_prompt_with_arguments":
            words = f"arg1='{values.get('arg1')}', arg2='{values.get('arg2')}'"
            return [message(text(f"Prompt with arguments: {words}"))]
        case "test_prompt_with_embedded_resource":
            uri = values.get("resourceUri", "test://example-resource")
            return [message(page(uri, "Embedded resource content for testing."))]
        case "test_prompt_with_image":
            return [message(image()), message(text("Please analyze the image above."))]
        case _:
            return None


PROMPTS: Final[dict[str, list[str]]] = {
    "test_simple_prompt": [],
    "test_prompt_with_arguments": ["arg1", "arg2"],
    "test_prompt_with_embedded_resource": ["resourceUri"],
    "test_prompt_with_image": [],
    "test_input_required_result_prompt": [],
}
TEMPLATE: Final = "test://template/{id}/data"
PAGES: Final = ("test://static-text", "test://static-binary", "test://watched-resource")


def contents_of(
    uri: str,
) -> types.TextResourceContents | types.BlobResourceContents | None:
    if uri == "test://static-binary":
        return types.BlobResourceContents(uri=uri, mime_type="image/png", blob=PIXEL)
    prefix, _, rest = uri.partition("test://template/")
    if not prefix and rest.endswith("/data"):
        words = json.dumps({"id": rest.removesuffix("/data"), "templateTest": True})
        return types.TextResourceContents(uri=uri, mime_type="application/json", text=words)
    if uri in PAGES:
        return types.TextResourceContents(
            uri=uri, mime_type="text/plain", text="This is the content of the resource."
        )
    return None


def schema_with_headers(name: str) -> Schema | None:
    """Return the schema of the one tool whose argument is repeated in a header."""
    return REGION if name == "test_region" else None


class Fixtures:
    """Answers for the fixtures, and passes everything else to the server's own handlers."""

    def __init__(self, server: Server[Workspace]) -> None:
        self._own: dict[str, Callable[[Context, Any], Awaitable[Any]]] = {}
        server.get_tool_input_schema = schema_with_headers
        for method in (
            "tools/list", "tools/call", "prompts/list", "prompts/get", "resources/list",
            "resources/templates/list", "resources/read", "resources/subscribe",
            "resources/unsubscribe", "completion/complete",
        ):  # fmt: skip
            entry = server.get_request_handler(method)
            assert entry is not None, method
            self._own[method] = entry.handler
            handler = getattr(self, method.replace("/", "_"))
            server.add_request_handler(method, entry.params_type, handler)

    async def tools_list(self, context: Context, params: Any) -> types.ListToolsResult:
        own: types.ListToolsResult = await self._own["tools/list"](context, params)
        tools = [
            types.Tool(name=name, description=f"Fixture {name}.", input_schema=schema)
            for name, (_, schema) in TOOLS.items()
        ]
        return own.model_copy(update={"tools": [*own.tools, *tools]})

    async def tools_call(self, context: Context, params: types.CallToolRequestParams) -> Any:
        if params.name not in TOOLS:
            return await self._own["tools/call"](context, params)
        function, _ = TOOLS[params.name]
        return await function(context, params)

    async def prompts_list(self, context: Context, params: Any) -> types.ListPromptsResult:
        own: types.ListPromptsResult = await self._own["prompts/list"](context, params)
        prompts = [
            types.Prompt(
                name=name,
                description=f"Fixture {name}.",
                arguments=[types.PromptArgument(name=item, required=True) for item in arguments],
            )
            for name, arguments in PROMPTS.items()
        ]
        return own.model_copy(update={"prompts": [*own.prompts, *prompts]})

    async def prompts_get(self, context: Context, params: types.GetPromptRequestParams) -> Any:
        if params.name == "test_input_required_result_prompt":
            words = filled(params, "user_context", "context")
            if words is None:
                form_ = form("What context should the prompt use?", "context")
                return needs({"user_context": form_})
            return types.GetPromptResult(messages=[message(text(f"Context: {words}"))])
        messages = prompt_messages(params.name, params.arguments or {})
        if messages is None:
            return await self._own["prompts/get"](context, params)
        return types.GetPromptResult(messages=messages)

    async def resources_list(self, context: Context, params: Any) -> types.ListResourcesResult:
        own: types.ListResourcesResult = await self._own["resources/list"](context, params)
        pages = [types.Resource(uri=uri, name=uri, description="A fixture.") for uri in PAGES]
        return own.model_copy(update={"resources": [*own.resources, *pages]})

    async def resources_templates_list(
        self, context: Context, params: Any
    ) -> types.ListResourceTemplatesResult:
        handler = self._own["resources/templates/list"]
        own: types.ListResourceTemplatesResult = await handler(context, params)
        template = types.ResourceTemplate(uri_template=TEMPLATE, name="fixture")
        return own.model_copy(update={"resource_templates": [*own.resource_templates, template]})

    async def resources_read(
        self, context: Context, params: types.ReadResourceRequestParams
    ) -> Any:
        contents = contents_of(str(params.uri))
        if contents is None:
            return await self._own["resources/read"](context, params)
        return types.ReadResourceResult(contents=[contents])

    async def resources_subscribe(self, context: Context, params: Any) -> types.EmptyResult:
        if str(params.uri) in PAGES:
            return types.EmptyResult()
        return await self._own["resources/subscribe"](context, params)

    async def resources_unsubscribe(self, context: Context, params: Any) -> types.EmptyResult:
        if str(params.uri) in PAGES:
            return types.EmptyResult()
        return await self._own["resources/unsubscribe"](context, params)

    async def completion_complete(
        self, context: Context, params: types.CompleteRequestParams
    ) -> Any:
        ref = params.ref
        if isinstance(ref, types.PromptReference) and ref.name in PROMPTS:
            return types.CompleteResult(completion=types.Completion(values=[]))
        return await self._own["completion/complete"](context, params)


def install(server: Server[Workspace]) -> None:
    """Add the fixtures to a server."""
    Fixtures(server)
