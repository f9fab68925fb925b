"""Synthetic angiograms and the very small Sa2VA that was trained on them."""
