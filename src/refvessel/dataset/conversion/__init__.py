"""From records of a reader to the tree."""
