"""What is stored and shown, as CSV, JSON and Parquet streams with their provenance, and the way back in (docs/exports.md)."""
