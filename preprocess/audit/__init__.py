"""The audit: every decision and every finding on pages that open from disk, and as one JSON file."""
