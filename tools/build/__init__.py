"""What CI and the documentation are made with: the lock, licences, the schema, the site's pages and pictures."""
