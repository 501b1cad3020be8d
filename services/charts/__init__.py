"""Results in, plotly figures out (as mappings): no I/O, no clock, no Streamlit."""
