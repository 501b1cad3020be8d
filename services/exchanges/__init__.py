"""One file an exchange: text in, events out. No socket, clock, log or database."""
