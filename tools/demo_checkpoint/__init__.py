"""Trains the demo's model and writes its layers as a fine-tuning run leaves them; not shipped."""
