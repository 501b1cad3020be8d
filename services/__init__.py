"""Everything between the exchanges and the pages; see docs/architecture.md."""
