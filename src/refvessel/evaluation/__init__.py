"""Predictions meet truth: scoring a split, tuning a threshold, comparing models."""
