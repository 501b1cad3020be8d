"""Alerts: what rules mean, when they fire, the thread that watches, the pages' face, and the backtest of a rule."""
