"""The official RefCOCO tree: its paths, columns and files, read and written here alone."""
