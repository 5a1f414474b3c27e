"""The program kiln-chat, which imports the conversation."""

from kiln_mcp.garbage import no_collection


def main() -> None:
    """Run kiln-chat."""
    with no_collection():
        from agent.startup import main as chat
    chat()
