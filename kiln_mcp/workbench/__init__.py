"""What a capability works with: the mechanism, the workspace, progress, prompts, trust."""
