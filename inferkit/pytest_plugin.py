"""The pytest plugin: options, fixtures and hooks of the suite; does nothing where there is no matrix."""
