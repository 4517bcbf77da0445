"""Getting the raw files and knowing them: registry, downloads, checksums, what is there, what a build costs."""
