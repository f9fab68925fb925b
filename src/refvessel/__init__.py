"""Reproducible evaluation of Sa2VA on blood-vessel images."""

__version__ = "0.1.0"
