"""From predicted and true masks to scores and their summaries."""
