"""From a network to an engine on disk: parsed, configured, built, kept in the cache."""
