"""Scripts that derive the tables of facts from their public sources."""
