"""Sa2VA on transformers' own modules, loading official folders directly."""
