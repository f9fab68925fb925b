"""A job on its machine: the GPUs it holds, its lock, the signals that end it, its progress."""
