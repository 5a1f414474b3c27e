"""What stops a training, in words for the person."""


class Unusable(Exception):
    """A model, its data or this machine cannot be used; the text is the reason."""
