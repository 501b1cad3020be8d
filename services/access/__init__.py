"""Who may see what: tiers, API keys, users, rate limits, and the log of what was changed. docs/access.md is its contract."""
