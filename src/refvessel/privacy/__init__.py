"""The table of original names, and the search for them in what is to be published."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "check": ["check_privacy"],
        "name_tables": ["read_name_table", "table_of_tree"],
    },
)
