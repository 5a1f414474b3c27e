"""LoRA on this machine: a provider beside the hosted ones.

The daemon never imports torch. A process of its own reads `request.json` in a work folder below the
home, writes `state.json`, losses and checkpoints there, and ends if nobody looks at it any more.
The modules in `trainer/` belong to that process.
"""
