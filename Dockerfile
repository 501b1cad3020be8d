# The dashboard with its collector, for a PostgreSQL of its own (compose.yaml). docs/operations.md says how to run it.
FROM python:3.13-slim

ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1

WORKDIR /app
COPY requirements.txt .
RUN pip install --disable-pip-version-check -r requirements.txt

RUN useradd --create-home --uid 10001 heatmap && mkdir /data && chown heatmap /data
COPY --chown=heatmap app.py config.py ./
COPY --chown=heatmap .streamlit/config.toml .streamlit/config.toml
COPY --chown=heatmap pages pages
COPY --chown=heatmap services services
COPY --chown=heatmap db db

USER heatmap
ENV HEATMAP_DATA_DIR=/data STREAMLIT_SERVER_ADDRESS=0.0.0.0
VOLUME /data
EXPOSE 8501
# Ready once the store is reachable and the collector, where this role has one, runs.
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8501/readyz', timeout=4)"]
STOPSIGNAL SIGTERM
CMD ["python", "app.py"]
