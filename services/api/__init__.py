"""Starlette routes of the same process as the dashboard."""
