"""From vessel data to the official RefCOCO-style tree, and back through a loader."""
