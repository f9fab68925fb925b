def print_simulation(): pass
