"""From the layers of a fine-tuning run to an official Hugging Face folder."""
