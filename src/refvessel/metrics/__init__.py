"""From predicted and true masks to scores and their summaries."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "bootstrap": ["bca_interval"],
        "boundary": ["boundary_accuracy", "region_similarity"],
        "cases": ["CASES_SCHEMA", "read_cases"],
        "comparison": ["paired_tests", "ranking"],
        "overlap": ["overlap_scores", "pixel_counts"],
        "policy": ["SCORES", "resolve_policy"],
        "probability": ["probability_scores"],
        "shape": ["shape_scores"],
        "summary": ["summarise", "summarise_by"],
        "surface": ["surface_scores"],
        "topology": ["Topology", "topology_scores"],
    },
)
