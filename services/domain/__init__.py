"""The words of the house: events, instruments, books, windows, errors. No I/O, no clock, no pandas, no Streamlit."""
