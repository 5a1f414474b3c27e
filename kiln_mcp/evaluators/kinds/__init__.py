"""The built-in kinds of evaluators: one module each, with a `KIND`. The registry discovers them."""
