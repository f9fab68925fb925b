"""From a model and a tree to one prediction record per expression."""
