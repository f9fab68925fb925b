"""One module a format, each turning annotations into records; see `formats` for the list."""
