"""What a prediction is and where it lies: records, shards, reusable answers, the gathered table.

Nothing here imports torch.
"""
