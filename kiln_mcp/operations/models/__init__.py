"""List and test models."""
