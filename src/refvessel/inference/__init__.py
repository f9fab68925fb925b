"""From a model and a tree to one prediction record an expression."""
