"""Tests of inferkit.suite.reproduction."""
