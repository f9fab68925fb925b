"""A finished run as a Workflow Run RO-Crate: what was run, on what, by which code, and what came of it."""
