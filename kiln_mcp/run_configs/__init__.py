"""How a task is run: model, prompt and settings; making outputs; estimating their cost."""
