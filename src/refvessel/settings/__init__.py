"""All settings as one typed tree: each with its description, unit, default and bounds, here and nowhere else.

Every section is a module of its own (`inference_section.Inference`, ...), so that a stage depends on its section
alone; `whole.Settings` holds them all, and `checked` reads them from what users write. `make generate` makes the
JSON schema, the comments of `config.yaml` and the table in `docs/` from them; the commands' options are made at
run time.
"""
