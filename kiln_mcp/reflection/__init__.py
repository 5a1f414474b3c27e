"""A model that mends a text from cases where it goes wrong: the one for prompts and for judges."""

from kiln_mcp.reflection.reflector import Reflection, Reflector, TextEdit, cases_text, parts_text

__all__ = ["Reflection", "Reflector", "TextEdit", "cases_text", "parts_text"]
