"""The variables that a client may lend to the daemon: those of model providers, and no others.

The bridge sends by this list and the daemon refuses by it. A variable that starts programs, or
sends all traffic another way (PATH, LD_PRELOAD, PYTHONPATH, HTTPS_PROXY, AWS_CONFIG_FILE), is not
on it, whoever names it.

A provider's variables go together. A key of one client is never used with the address of another:
who lends a key sets the whole group, and who has no key changes nothing of a group that has one.
"""

import json
import re
from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Final

_ENDINGS: Final = ("_API_KEY", "_API_BASE", "_BASE_URL")
_NAMES: Final = """
    A2A AI21 AIML ALEPH_ALPHA AMAZON_NOVA ANTHROPIC_AWS ANYSCALE APERTIS ASSEMBLYAI AZURE_AI
    AZURE_TEXT BASETEN BESPOKE BLACK_FOREST_LABS BYTEZ CEREBRAS CHARITY_ENGINE CHUTES CLARIFAI
    CODESTRAL COGNITION COMPACTIFAI CORALBRICKS CRUSOE CUSTOM CUSTOM_OPENAI DARKBLOOM DEEPINFRA
    DEEPSEEK DOCKER_MODEL_RUNNER EDENAI EMPOWER GALADRIEL GDC GITHUB GMI GROQ HEROKU HOSTED_VLLM
    HYPERBOLIC INCEPTION INFERENCEAPIS INFINITY LANGFLOW LANGGRAPH LAYA LEMONADE LIBERTAI
    LITELLM_PROXY LLAMAFILE LLAMAGATE LM_STUDIO MANUS MARITALK MINIMAX MODELSCOPE MOONSHOT MORPH
    NACE NADIR NANOGPT NEBIUS NEOSANTARA NLP_CLOUD NOVITA NSCALE NVIDIA_NIM OCI OLLAMA
    OLLAMA_CHAT OOBABOOGA OPENAI_LIKE OPENINFER OVHCLOUD PARASAIL PETALS PINSTRIPES POE PRISM
    PUBLICAI RAGFLOW REDUCTO SAGEMAKER SAIL SAMBANOVA SARVAM SCALEDOWN SCX_AI STABILITY SYNTHETIC
    TENSORMESH TRITON TYPESAFE V0 VLLM VOLCENGINE WANDB XAI XIAOMI_MIMO XINFERENCE ZAI AIHUBMIX
"""
"""Providers whose variables are these alone: NAME_API_KEY, NAME_API_BASE and NAME_BASE_URL."""
_FAMILIES: Final[Mapping[str, str]] = {
    "ANTHROPIC": "ANTHROPIC_AUTH_TOKEN ANTHROPIC_WORKSPACE_ID",
    "AZURE": """AZURE_API_VERSION AZURE_API_TYPE AZURE_AD_TOKEN AZURE_OPENAI_API_KEY
        AZURE_OPENAI_ENDPOINT AZURE_CLIENT_ID AZURE_CLIENT_SECRET AZURE_TENANT_ID AZURE_USERNAME
        AZURE_PASSWORD AZURE_SCOPE AZURE_AUTHORITY_HOST AZURE_AI_API_VERSION""",
    "BEDROCK": """AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN AWS_SECURITY_TOKEN
        AWS_BEARER_TOKEN_BEDROCK AWS_PROFILE AWS_PROFILE_NAME AWS_DEFAULT_PROFILE AWS_REGION
        AWS_REGION_NAME AWS_DEFAULT_REGION AWS_ROLE_ARN AWS_ROLE_NAME AWS_SESSION_NAME
        AWS_ROLE_SESSION_NAME AWS_WEB_IDENTITY_TOKEN AWS_WEB_IDENTITY_TOKEN_FILE
        AWS_STS_ENDPOINT AWS_EXTERNAL_ID AWS_CONTAINER_CREDENTIALS_RELATIVE_URI
        AWS_CONTAINER_CREDENTIALS_FULL_URI AWS_CONTAINER_AUTHORIZATION_TOKEN
        AWS_BEDROCK_RUNTIME_ENDPOINT BEDROCK_MANTLE_API_KEY BEDROCK_MANTLE_API_BASE
        BEDROCK_MANTLE_REGION""",
    "CLOUDFLARE": "CLOUDFLARE_ACCOUNT_ID",
    "COHERE": "CO_API_KEY CO_API_URL",
    "COMETAPI": "COMETAPI_KEY",
    "DASHSCOPE": "QWENCLOUD_API_KEY QWENCLOUD_API_BASE QWEN_AI_PLATFORM_API_KEY "
    "QWEN_AI_PLATFORM_API_BASE",
    "DATABRICKS": """DATABRICKS_HOST DATABRICKS_TOKEN DATABRICKS_CLIENT_ID
        DATABRICKS_CLIENT_SECRET DATABRICKS_USER_AGENT""",
    "DATAROBOT": "DATAROBOT_API_TOKEN DATAROBOT_ENDPOINT",
    "FEATHERLESS_AI": "FEATHERLESS_API_KEY FEATHERLESS_API_BASE",
    "FIREWORKS_AI": """FIREWORKS_API_KEY FIREWORKS_API_BASE FIREWORKSAI_API_KEY
        FIREWORKS_AI_TOKEN FIREWORKS_ACCOUNT_ID""",
    "FRIENDLIAI": "FRIENDLI_TOKEN FRIENDLI_API_BASE FRIENDLI_TEAM",
    "GEMINI": "GOOGLE_API_KEY PALM_API_KEY",
    "GIGACHAT": "GIGACHAT_ACCESS_TOKEN GIGACHAT_AUTH_URL GIGACHAT_CREDENTIALS GIGACHAT_SCOPE",
    "GRADIENT_AI": "GRADIENT_AI_AGENT_ENDPOINT",
    "HUGGINGFACE": "HF_TOKEN HF_API_BASE HUGGING_FACE_HUB_TOKEN",
    "JINA_AI": "JINA_API_KEY JINA_AI_TOKEN",
    "LAMBDA_AI": "LAMBDA_API_KEY LAMBDA_API_BASE",
    "META_LLAMA": "META_API_KEY LLAMA_API_KEY LLAMA_API_BASE",
    "MISTRAL": "MISTRAL_AZURE_API_KEY MISTRAL_AZURE_API_BASE",
    "OPENAI": "OPENAI_ORGANIZATION OPENAI_ORG_ID OPENAI_PROJECT OPENAI_PROJECT_ID",
    "OPENROUTER": "OR_API_KEY OR_SITE_URL OR_APP_NAME",
    "PERPLEXITY": "PERPLEXITYAI_API_KEY",
    "PREDIBASE": "PREDIBASE_TENANT_ID",
    "REPLICATE": "REPLICATE_API_TOKEN",
    "SCALEWAY": "SCW_SECRET_KEY",
    "SNOWFLAKE": "SNOWFLAKE_JWT SNOWFLAKE_ACCOUNT_ID",
    "TENCENT": "TENCENT_ANTHROPIC_API_BASE",
    "TOGETHER_AI": "TOGETHERAI_API_KEY TOGETHER_API_KEY TOGETHER_AI_TOKEN",
    "VERCEL_AI_GATEWAY": "VERCEL_OIDC_TOKEN VERCEL_SITE_URL VERCEL_APP_NAME",
    "VERTEX_AI": """VERTEXAI_PROJECT VERTEXAI_LOCATION VERTEXAI_CREDENTIALS VERTEXAI_API_BASE
        VERTEX_PROJECT VERTEX_LOCATION VERTEX_CREDENTIALS VERTEX_API_BASE
        GOOGLE_APPLICATION_CREDENTIALS GOOGLE_CLOUD_PROJECT GOOGLE_CLOUD_LOCATION""",
    "VOYAGE": "VOYAGE_AI_API_KEY VOYAGE_AI_TOKEN",
    "WATSONX": """WATSONX_APIKEY WATSONX_ZENAPIKEY WATSONX_TOKEN WATSONX_URL WATSONX_IAM_URL
        WATSONX_PROJECT_ID WATSONX_SPACE_ID WATSONX_DEPLOYMENT_SPACE_ID WATSONX_REGION WX_API_KEY
        WX_URL WX_PROJECT_ID WX_SPACE_ID WX_REGION WML_URL""",
}
"""Providers that have more of them, and those by litellm's name."""
_SECRET: Final = re.compile(
    r"(KEY|KEY_ID|TOKEN|SECRET|PASSWORD|CREDENTIALS|JWT|PROFILE|ROLE_ARN|TOKEN_FILE|_URI)$"
)
_NEVER: Final = re.compile(
    r"(?!.*(KEY|TOKEN|SECRET|PASSWORD|LOGIN)$)("
    r"PATH|HOME|SHELL|ENV|BASH_ENV|IFS|TMPDIR|TEMP|TMP|PWD|USER|LOGNAME|TERM|LANG|EDITOR|PAGER"
    r"|(LD|DYLD|KILN_MCP|GIT|SSH|LC|XDG|LITELLM|SSL|REQUESTS|CURL|NODE|OPENSSL|PIP|MALLOC|DBOS)_.*"
    r"|PYTHON.*|PERL5.*|RUBY(OPT|LIB)"
    r"|.*(PROXY|PATH|_CONFIG_FILE|_CA_BUNDLE|_OPTIONS|_PRELOAD|_COMMAND|LOGFILE))",
    re.IGNORECASE,
)
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")


def _groups() -> Mapping[str, str]:
    groups: dict[str, str] = {}
    for provider in (*_NAMES.split(), *_FAMILIES):
        names = [f"{provider}{ending}" for ending in _ENDINGS]
        for name in (*names, *_FAMILIES.get(provider, "").split()):
            groups[name] = provider
    return MappingProxyType(groups)


MOST_NAMED: Final = 10
GROUPS: Final = _groups()
"""The provider of each of their variables."""


def variables_of_servers(file: Path) -> frozenset[str]:
    """Return the key variables that a server file names, without those that no list may name.

    What is wrong with the file is said by who asks a model.
    """
    try:
        servers = json.loads(file.read_text(encoding="utf-8"))
        names = [str(server.get("key_variable")) for server in servers]
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        return frozenset()
    return frozenset(name for name in names if _NAME.fullmatch(name) and not _NEVER.fullmatch(name))


def lendable(environment: Mapping[str, str], of_servers: Iterable[str]) -> dict[str, str]:
    """Return the variables of an environment that may be lent.

    Args:
        environment: All of them.
        of_servers: The key variables of the person's own servers.
    """
    names = frozenset(of_servers)
    return {name: v for name, v in environment.items() if name in GROUPS or name in names}


def changes_by_lending(
    lent: Mapping[str, str], environment: Mapping[str, str]
) -> dict[str, str | None]:
    """Return what a lending changes in the daemon's environment; None for a variable to remove.

    Args:
        lent: What a client lends, all of it lendable.
        environment: The daemon's, as it is.
    """
    changes: dict[str, str | None] = {n: v for n, v in lent.items() if n not in GROUPS}
    for provider in dict.fromkeys(GROUPS[name] for name in lent if name in GROUPS):
        group = [name for name, owner in GROUPS.items() if owner == provider]
        if _has_secret(group, lent) or not _has_secret(group, environment):
            changes.update({n: lent.get(n) for n in group if n in lent or n in environment})
    return changes


def _has_secret(group: Iterable[str], variables: Mapping[str, str]) -> bool:
    return any(variables.get(name) and _SECRET.search(name) for name in group)


class NotLendable(ValueError):  # noqa: N818 - a fault of the client's, told to it
    """A client lends what it may not."""

    def __init__(self, names: Sequence[str]) -> None:
        listed = ", ".join(name[:64] for name in names[:MOST_NAMED])
        more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
        super().__init__(
            f"These variables may not be lent: {listed}{more}. Only those of model providers may, "
            "and those that 'key_variable' in servers.json names. Nothing was taken."
        )


@dataclass(frozen=True, slots=True)
class LentVariables:
    """The environment that clients lend their variables to.

    Attributes:
        environment: It changes with each lending.
        server_file: The person's own servers; None for none.
    """

    environment: MutableMapping[str, str] = field(repr=False)
    server_file: Path | None = None

    def take(self, lent: Mapping[str, str]) -> None:
        """Take over what a client lends, all or nothing.

        Raises:
            NotLendable: One of the variables may not be lent.
            ValueError: No environment can hold one of the values.
        """
        named = variables_of_servers(self.server_file) if self.server_file else frozenset[str]()
        refused = sorted(lent.keys() - lendable(lent, named).keys())
        if refused:
            raise NotLendable(refused)
        if any("\0" in value for value in lent.values()):
            raise ValueError("a value holds NUL")
        for name, value in changes_by_lending(lent, self.environment).items():
            if value is None:
                del self.environment[name]
            else:
                self.environment[name] = value
