"""Ingest: threads, sockets, queues. What an adapter describes is done here, and nowhere else.

The way of a frame: connection.py (receive, stamp) → inbox.py (bounded) → pipeline.py (decode, books, bars) → live state
and writer.py (batch, spool, store). docs/ingest.md draws it.
"""
