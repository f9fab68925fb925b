"""Annotated regions: polygons, run lengths and label images, and their masks."""
