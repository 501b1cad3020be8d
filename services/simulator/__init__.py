"""A seeded market behind three loopback servers that speak the exchanges' public wire protocols.

Independent of the rest of the code base on purpose: the collector reaches it only through its configured URLs.
"""
