"""Sa2VA on transformers' own modules, loading official folders directly."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "configuration": ["Sa2VAConfig"],
        "modeling": ["Sa2VAModel"],
        "processing": ["Sa2VAProcessor"],
    },
)
