"""Guided flows for the embedded model: menus, their questions, and the calls that they end in."""
