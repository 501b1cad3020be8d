"""The sub-commands of `python -m services.cli`. Launchers, like app.py: they may open a store."""
