"""Looking at the raw files of a source before hours are spent on them, and a report that can be shared."""
