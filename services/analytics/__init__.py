"""Arrays in, frozen results out. No I/O, no clock, no Streamlit; definitions in docs/methods.md."""
