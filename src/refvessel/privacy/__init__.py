"""The table of original names, and the search for them in what is to be published."""
