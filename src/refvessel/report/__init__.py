"""From artifacts to tables, figures and pages that load nothing from a network."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "render": ["render_report"],
        "sections": ["Evaluation"],
    },
)
