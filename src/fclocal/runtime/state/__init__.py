"""State on disk: what is deployed, the journal, the certificates."""
