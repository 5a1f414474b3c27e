"""Better prompts, searched for under a budget and measured on items that took no part."""
