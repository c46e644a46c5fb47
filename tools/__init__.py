"""Tools that a developer runs now and then."""
