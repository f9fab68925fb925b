"""Whether a machine, a configuration and a site's profile can carry a run, told on one screen."""
