"""Evaluation results as tables, charts and a web page."""
