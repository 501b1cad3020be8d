"""The same page behind `st.App`, with the route that serves Plotly's script."""

import streamlit as st

from services.api.plotly_asset import plotly_script_route

app = st.App("heat_panels_page.py", routes=[plotly_script_route()])
