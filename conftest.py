"""Loads inferkit's plugin for a checkout that is not installed; an installed one has it by its entry point."""

pytest_plugins = ["inferkit.pytest_plugin"]
